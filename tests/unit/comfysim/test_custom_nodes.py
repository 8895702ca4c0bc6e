"""Custom nodes on the stand-in: imported, run, and left out when they cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from comfyard.comfyui.imports import failed_imports
from tests.unit.comfysim.harness import Client, node, running, sd15

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.comfysim.harness import Sim

GOOD = """
class Shout:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"text": ("STRING", {"default": "", "multiline": True}), "how": (["loud", "louder"],)},
            "optional": {"times": ("INT", {"default": 1, "min": 1, "max": 3})},
            "hidden": {"unique_id": "UNIQUE_ID"},
        }
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("shouted",)
    FUNCTION = "shout"
    CATEGORY = "voices"

    def shout(self, text, how, times=1, unique_id=None):
        return (text.upper() * times,)


class Show:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"forceInput": True})}}
    RETURN_TYPES = ()
    FUNCTION = "show"
    OUTPUT_NODE = True

    def show(self, text):
        if "!" in text:
            raise ValueError("too loud")
        return {"ui": {"text": [text]}}


NODE_CLASS_MAPPINGS = {"Shout": Shout, "Show": Show, "KSampler": Show}
"""
PACKAGES = {
    "good/__init__.py": GOOD,
    "broken/__init__.py": "from .voices import cords\n",
    "broken/voices.py": "raise RuntimeError('no voice')\n",
    "empty/README.md": "nothing\n",
    "no_nodes.py": "x = 1\n",
    "one_file.py": "NODE_CLASS_MAPPINGS = {}\n",
    "asleep.py.disabled": "raise RuntimeError\n",
    "notes.txt": "nothing\n",
}


def write(base: Path) -> None:
    for name, text in PACKAGES.items():
        path = base / "custom_nodes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    base = tmp_path_factory.mktemp("sim")
    write(base)
    with running(base) as running_sim:
        yield running_sim


def graph(text: str = "ahoy", how: str = "loud") -> dict[str, dict[str, object]]:
    return {"1": node("Shout", text=text, how=how, times=2), "2": node("Show", text=["1", 0])}


async def test_its_classes_are_told_and_whose_they_are(client: Client) -> None:
    found = (await client.get("/object_info/Shout"))["Shout"]
    assert found["python_module"] == "custom_nodes.good"
    assert found["input"] == {
        "required": {"text": ["STRING", {"default": "", "multiline": True}], "how": [["loud", "louder"]]},
        "optional": {"times": ["INT", {"default": 1, "min": 1, "max": 3}]},
        "hidden": {"unique_id": "UNIQUE_ID"},
    }
    assert (found["output"], found["output_name"], found["category"]) == (["STRING"], ["shouted"], "voices")


async def test_it_is_run(client: Client) -> None:
    run = await client.run(graph())
    assert run.history["outputs"]["2"] == {"text": ["AHOYAHOY"]}


async def test_what_it_raises_fails_the_prompt(client: Client) -> None:
    kind, data = (await client.run(graph("ahoy!"))).last_message
    assert (kind, data["node_id"], data["exception_type"]) == ("execution_error", "2", "ValueError")


async def test_its_inputs_are_checked(client: Client) -> None:
    status, answer = await client.post("/prompt", {"prompt": graph(how="silent")})
    assert status == 400
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "value_not_in_list"


async def test_it_does_not_replace_a_class_of_comfyui(client: Client) -> None:
    assert (await client.run(sd15())).files() == ["out_00001_.png"]


async def test_the_others_are_there_in_spite_of_one_that_fails(client: Client) -> None:
    entries = (await client.get("/internal/logs/raw"))["entries"]
    failed = failed_imports("".join(entry["m"] for entry in entries))
    assert set(failed) == {"broken", "empty", "no_nodes"}
    assert failed["broken"].reason.startswith("RuntimeError: no voice")
    assert "voices.py" in "".join(failed["broken"].traceback)
    assert failed["no_nodes"].reason.startswith("Skip ")


async def test_they_can_be_switched_off(tmp_path: Path) -> None:
    write(tmp_path)
    with running(tmp_path, "--disable-all-custom-nodes", "--whitelist-custom-nodes", "one_file.py") as sim:
        async with Client(sim) as client:
            assert await client.get("/object_info/Shout") == {}
            entries = (await client.get("/internal/logs/raw"))["entries"]
            assert failed_imports("".join(entry["m"] for entry in entries)) == {}
