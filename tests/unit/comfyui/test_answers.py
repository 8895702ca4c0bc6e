"""ComfyUI's answers as they were observed, turned into values and sentences."""

from typing import Any

import pytest

from comfyard.comfyui.answers import About, OutputFile, OutputValue, parse_about, parse_history, parse_queue
from comfyard.comfyui.failure import MESSAGE_BOUND, fail, raised
from comfyard.comfyui.refusal import describe_refusal

DETAILS: dict[str, Any] = {
    "node_id": "3",
    "node_type": "KSampler",
    "exception_type": "RuntimeError",
    "exception_message": "first\nsecond\n",
}


def entry(outputs: Any = None, messages: Any = (), status: str = "success") -> dict[str, Any]:
    about = {"status_str": status, "completed": status == "success", "messages": list(messages)}
    return {"p": {"prompt": [], "outputs": outputs or {}, "status": about, "meta": {}}}


def failed(kind: str = "execution_error", **details: Any) -> Any:
    parsed = parse_history(
        entry(messages=[["execution_start", {}], [kind, {**DETAILS, **details}]], status="error"), "p"
    )
    assert parsed
    return raised("p", parsed)


def test_pending_prompts_are_put_in_the_order_they_run_in() -> None:
    items = [[3, "c", {}, {}, []], [1, "b", {}, {}, []], [1, "a", {}, {}, []]]
    queue = parse_queue({"queue_running": [[0, "r", {}, {}, []]], "queue_pending": items})
    assert (queue.running, queue.pending) == (("r",), ("a", "b", "c"))


def test_an_id_that_is_not_there_has_no_entry() -> None:
    assert parse_history({}, "p") is None


def test_videos_come_under_images_and_count() -> None:
    video = {"filename": "f.mp4", "subfolder": "v", "type": "output"}
    parsed = parse_history(entry({"9": {"images": [video], "animated": [True]}}), "p")
    assert parsed
    assert parsed.files["9"] == (OutputFile("f.mp4", "v", "output"),)


def values(output: Any) -> tuple[OutputValue, ...]:
    parsed = parse_history(entry({"9": output}), "p")
    assert parsed
    assert parsed.files["9"] == ()
    return parsed.values["9"]


@pytest.mark.parametrize("odd", [None, [], "x", {"images": None}, {"images": [None]}, {"animated": [True]}])
def test_whatever_a_node_returns_can_be_read(odd: Any) -> None:
    assert values(odd) == ()


def test_each_text_is_a_result() -> None:
    assert values({"text": ["a lamp", "ein Löwe \ud800"]}) == (
        OutputValue("text.txt", b"a lamp"),
        OutputValue("text.txt", "ein Löwe ?".encode()),
    )


def test_everything_else_that_a_node_shows_is_json() -> None:
    shown = {"text": "one", "result": ["mesh.glb", {"zoom": float("nan")}], "n": 3, "seed": [2**64 - 1, float("inf")]}
    content = b'{"result": ["mesh.glb", {"zoom": null}], "n": [3], "seed": [18446744073709551615, null]}'
    assert values(shown) == (OutputValue("text.txt", b"one"), OutputValue("values.json", content))


def test_nodes_that_were_not_run_are_known() -> None:
    messages = [["execution_cached", {"nodes": ["4", 5]}], ["execution_cached", None], "x", ["execution_success", {}]]
    parsed = parse_history(entry(messages=messages), "p")
    assert parsed
    assert parsed.cached == {"4", "5"}


def test_a_file_named_twice_counts_once() -> None:
    file = {"filename": "f.png", "subfolder": "", "type": "output"}
    parsed = parse_history(entry({"9": {"images": [file], "gifs": [file]}}), "p")
    assert parsed
    assert len(parsed.files["9"]) == 1


def test_an_error_is_told_by_its_first_line() -> None:
    assert failed().message == "node 3 (KSampler): RuntimeError: first"


@pytest.mark.parametrize(
    "details",
    [
        {"exception_type": "torch.OutOfMemoryError", "exception_message": "Allocation on device"},
        {"exception_type": "torch.cuda.OutOfMemoryError"},
        {"exception_message": "CUDA out of memory. Tried to allocate 2.00 GiB."},
    ],
)
def test_out_of_memory_is_recognised(details: dict[str, str]) -> None:
    assert failed(**details).failure_class == "OutOfVRAM"


def test_running_out_of_the_hosts_memory_is_not_the_cards() -> None:
    assert failed(exception_type="MemoryError", exception_message="").failure_class == "NodeError"


def test_a_poisoned_process_must_be_restarted() -> None:
    found = failed(exception_message="CUDA error: an illegal memory access was encountered")
    assert (found.failure_class, found.restart) == ("NodeError", True)


def test_an_interruption_is_not_an_error() -> None:
    assert failed("execution_interrupted").failure_class == "ServerLost"


def test_an_error_without_words_is_still_one() -> None:
    parsed = parse_history({"p": {"status": None, "outputs": None}}, "p")
    assert parsed
    assert raised("p", parsed).failure_class == "NodeError"


def test_a_message_has_a_bound() -> None:
    assert len(fail("p", "NodeError", "x" * 5000).message) == MESSAGE_BOUND


def test_a_cycle_is_guessed() -> None:
    error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": ""}
    [sentence] = describe_refusal({"error": error, "node_errors": {}})
    assert sentence.endswith("look for a link that leads back to its own node")


def test_a_graph_without_outputs_needs_one() -> None:
    [sentence] = describe_refusal({"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs"}})
    assert sentence == "Prompt has no outputs: the graph needs an output node, such as SaveImage"


@pytest.mark.parametrize("odd", [None, [], "x", {"error": "text"}, {"node_errors": []}, {"error": {}}])
def test_there_is_always_a_reason(odd: Any) -> None:
    assert all(describe_refusal(odd))


def test_a_long_list_of_choices_is_cut() -> None:
    error = {"type": "value_not_in_list", "message": "Value not in list", "details": "x" * 2000, "extra_info": {}}
    [sentence] = describe_refusal({"node_errors": {"4": {"errors": [error], "class_type": "Loader"}}})
    assert len(sentence) == 400


@pytest.mark.parametrize(
    ("answer", "about"),
    [
        ({"system": {"comfyui_version": "0.3.64"}, "devices": [{"name": "cpu"}, {}]}, About("0.3.64", "cpu")),
        ({"system": {"comfyui_version": "0.3.64"}, "devices": []}, About("0.3.64")),
        ({"system": []}, About()),
        ([], About()),
    ],
)
def test_a_server_says_what_it_is(answer: Any, about: About) -> None:
    assert parse_about(answer) == about
