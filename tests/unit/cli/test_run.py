"""What is typed becomes an order, or is told why not."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.cli import app
from comfyard.cli.following import show_on
from comfyard.cli.ordering import check_order, choose_profiles, pairs, typed_inputs, typed_values
from comfyard.cli.orders import build_job, printed
from comfyard.cli.session import UsageError
from tests.builders import job, template_spec

SHOT = {"name": "photo", "type": "Image", "targets": [{"node": "5", "input": "width"}]}


def spec(*more: dict[str, Any]) -> WorkflowTemplateSpec:
    standard = [
        {"name": "prompt", "type": "String", "required": True},
        {"name": "steps", "type": "Integer", "default": 20, "minimum": 1, "maximum": 60},
        {"name": "cfg", "type": "Number", "default": 7},
        {"name": "tiled", "type": "Boolean", "default": False},
        {"name": "seed", "type": "Seed"},
    ]
    return WorkflowTemplateSpec.model_validate(template_spec(parameters=[*standard, *more]))


def values(*given: str) -> dict[str, Any]:
    return typed_values(spec(SHOT), given)


def refusal_of_values(*given: str) -> str:
    with pytest.raises(UsageError) as caught:
        values(*given)
    return str(caught.value)


def refusal_of_order(template: WorkflowTemplateSpec, given: list[str], inputs: list[str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        check_order(template, typed_values(template, given), typed_inputs(inputs or []))
    return str(caught.value)


def test_values_have_the_types_of_their_parameters() -> None:
    given = ("prompt=a = b", "steps=25", "cfg=7.5", "tiled=true", "seed=18446744073709551615")
    assert values(*given) == {
        "prompt": "a = b",
        "steps": 25,
        "cfg": 7.5,
        "tiled": True,
        "seed": "18446744073709551615",
    }


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("-0.5", -0.5), ("1e3", 1000.0)])
def test_a_number_stays_as_whole_as_it_was_typed(text: str, value: float) -> None:
    found = values(f"cfg={text}")["cfg"]
    assert (found, type(found)) == (value, type(value))


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    assert values("prompt=1984") == {"prompt": "1984"}
    assert values("prompt=") == {"prompt": ""}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("steps=many", "parameter steps: 'many' is no Integer; write digits, such as 25"),
        ("steps=2.5", "parameter steps: '2.5' is no Integer; write digits, such as 25"),
        ("steps=1_000", "parameter steps: '1_000' is no Integer; write digits, such as 25"),
        ("cfg=nan", "parameter cfg: 'nan' is no Number; write a number, such as 0.75"),
        ("tiled=yes", "parameter tiled: 'yes' is no Boolean; write true or false"),
        ("prompt", "-p prompt: write it as NAME=VALUE"),
        ("=x", "-p =x: write it as NAME=VALUE"),
    ],
)
def test_a_value_of_another_type_is_refused(given: str, message: str) -> None:
    assert refusal_of_values(given) == message


def test_a_value_is_given_once() -> None:
    assert refusal_of_values("steps=1", "steps=2") == "-p steps is given twice"


def test_a_value_may_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("a lighthouse\nat dawn\n", encoding="utf-8")
    assert values(f"prompt=@{tmp_path}/prompt.txt") == {"prompt": "a lighthouse\nat dawn"}
    (tmp_path / "steps").write_text("30\n")
    assert values(f"steps=@{tmp_path}/steps") == {"steps": 30}


def test_a_leading_at_is_doubled() -> None:
    assert values("prompt=@@home") == {"prompt": "@home"}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    said = refusal_of_values(f"prompt=@{tmp_path}/none")
    assert said.startswith(f"parameter prompt: cannot read file '{tmp_path}/none': No such file or directory; correct")
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    assert "it is no text in UTF-8; correct the path" in refusal_of_values(f"prompt=@{tmp_path}/picture")


def test_a_file_is_no_value() -> None:
    assert refusal_of_values("photo=x.png").startswith("parameter photo is a file (Image): give it with -i photo=FORM")


def test_the_operator_would_say_the_same_of_an_order() -> None:
    assert refusal_of_order(spec(), ["steps=99", "stpes=3"]) == (
        "parameter prompt is required; give it in spec.parameters; "
        "parameter steps: 99 is greater than the maximum of 60; "
        "unknown parameter stpes; the template has: cfg, prompt, seed, steps, tiled (did you mean steps?)"
    )
    assert "is no seed" in refusal_of_order(spec(), ["prompt=x", f"seed={2**64}"])


def test_a_file_that_is_missing_is_told_with_how_to_give_it() -> None:
    assert refusal_of_order(spec(SHOT), ["prompt=x"]) == (
        "parameter photo (Image) needs a file; give it in spec.inputs: -i NAME=FORM, where FORM is "
        "url:https://…, claim:NAME/PATH or job:NAME/OUTPUT[/INDEX]"
    )
    assert "input sketch: the template has no such parameter" in refusal_of_order(
        spec(SHOT), ["prompt=x"], ["photo=https://host/a.png", "sketch=https://host/b.png"]
    )


@pytest.mark.parametrize(
    ("form", "source"),
    [
        ("url:https://host/a.png?x=1", {"url": "https://host/a.png?x=1"}),
        ("https://host/a.png", {"url": "https://host/a.png"}),
        ("claim:photos/2026/a b.png", {"claim": {"name": "photos", "path": "2026/a b.png"}}),
        ("claim://results/studio/x/image-000.png", {"claim": {"name": "results", "path": "studio/x/image-000.png"}}),
        ("job:sketch/image", {"job": {"name": "sketch", "output": "image", "index": 0}}),
        ("job:sketch/image/3", {"job": {"name": "sketch", "output": "image", "index": 3}}),
    ],
)
def test_files_come_from_where_an_order_can_name_them(form: str, source: dict[str, Any]) -> None:
    [found] = typed_inputs([f"photo={form}"])
    assert found.to_api() == {"parameter": "photo", **source}


@pytest.mark.parametrize("form", ["photo.png", "./photo.png", "/home/me/photo.png", "file:///photo.png", "s3://b/k"])
def test_a_file_of_this_machine_cannot_be_sent(form: str) -> None:
    with pytest.raises(UsageError, match="a file of this machine cannot be sent with an order; put it on a claim"):
        typed_inputs([f"photo={form}"])


@pytest.mark.parametrize("form", ["job:sketch/image/last", "job:Sketch/image", "url:host", "claim:photos/ä"])
def test_an_input_that_the_api_server_would_refuse_is_refused_before(form: str) -> None:
    with pytest.raises(UsageError, match="cannot be an input; name the file as url:https://…"):
        typed_inputs([f"photo={form}"])


def test_the_only_profile_needs_no_name() -> None:
    assert choose_profiles([], ["l4"]) == ["l4"]
    assert choose_profiles(["a100", "l4", "a100"], ["l4", "a100"]) == ["a100", "l4"]
    assert choose_profiles(["l4"], None) == ["l4"]


@pytest.mark.parametrize(
    ("given", "there", "message"),
    [
        ([], ["l4", "a100"], "name a HardwareProfile with --profile (there: a100, l4)"),
        ([], [], "name a HardwareProfile with --profile (there: none)"),
        ([], None, "you may not list hardwareprofiles.comfyard.io; name one with --profile"),
        (["l40"], ["l4"], "hardwareprofiles.comfyard.io l40 not found (there: l4)"),
    ],
)
def test_which_profile_is_not_guessed(given: list[str], there: list[str] | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_profiles(given, there)
    assert str(caught.value) == message


def test_pairs_keep_what_follows_the_first_equals_sign() -> None:
    assert pairs("-p", ["a=b=c", "d="]) == [("a", "b=c"), ("d", "")]


def test_a_job_without_a_name_gets_one_that_a_pod_could_have() -> None:
    assert build_job("studio", "", "t" * 80, {})["metadata"] == {"generateName": "t" * 57 + "-", "namespace": "studio"}
    assert build_job("studio", "x", "t", {"a": 1}) == {
        "metadata": {"name": "x", "namespace": "studio"},
        "spec": {"a": 1},
    }


def test_a_job_is_printed_as_kubectl_does() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"parameters": {"prompt": "größe"}}}
    whole = {"apiVersion": "comfyard.io/v1alpha1", "kind": "GenerationJob", **obj}
    assert printed(obj, "name") == "generationjob.comfyard.io/x"
    assert json.loads(printed(obj, "json")) == yaml.safe_load(printed(obj, "yaml")) == whole
    assert "größe" in printed(obj, "yaml")


STORY: list[dict[str, Any]] = [
    {},
    {"state": "Queued", "message": "waits for a server"},
    {
        "state": "Running",
        "message": "rendering 1 of 1",
        "progress": {"percent": 30, "node": "KSampler", "step": 6, "steps": 20},
    },
    {
        "state": "Running",
        "message": "rendering 1 of 1",
        "progress": {"percent": 30, "node": "KSampler", "step": 6, "steps": 20},
    },
    {"state": "Complete", "message": "1 image stored", "progress": {"percent": 100}},
]


def told(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)
    with show_on(console) as shown:
        for status in STORY:
            shown.show(job(status or None))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_log_gets_a_line_for_each_change() -> None:
    assert told(terminal=False).splitlines() == [
        "lighthouse: Pending",
        "lighthouse: Queued: waits for a server",
        "lighthouse: Running 30%: rendering 1 of 1",
        "lighthouse: Complete 100%: 1 image stored",
    ]


def test_a_terminal_gets_a_bar_and_what_is_waited_for() -> None:
    said = told(terminal=True)
    assert "waits for a server" in said
    assert "rendering 1 of 1" not in said
    assert "lighthouse: Complete" in said
    assert "100%" in said


@pytest.mark.parametrize("command", ["run", "results", "rerun"])
def test_the_commands_explain_themselves(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "--namespace" in done.output


def test_files_of_a_job_that_is_not_awaited_cannot_be_fetched() -> None:
    done = CliRunner().invoke(app, ["run", "-t", "x", "--no-wait", "--to", "somewhere"])
    assert done.exit_code == 2
    assert "--to needs the end of the job" in done.output


def test_without_a_cluster_nothing_is_ordered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    for command in (["run", "-t", "x"], ["results", "x", "--to", "."], ["rerun", "x"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert "comfyard: no cluster is configured" in done.output
