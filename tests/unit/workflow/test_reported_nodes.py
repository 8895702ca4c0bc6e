"""What is kept of a server's /object_info: everything that is checked, nothing that its disk decides."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from comfyard.workflow.node_class import Input
from comfyard.workflow.object_info import Knowledge, from_object_info
from comfyard.workflow.reported_nodes import MAX_BYTES, pack, unpack
from tests.unit.comfysim.harness import Sim, running

Info = dict[str, Any]


def one(required: Info, **more: Any) -> Info:
    """A class of somebody's package, as a server tells of it."""
    entry = {
        "input": {"required": required, "hidden": {"prompt": "PROMPT"}},
        "input_order": {"required": list(required)},
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["image"],
        "name": "Theirs",
        "display_name": "Their node",
        "description": "Does what they want",
        "python_module": "custom_nodes.theirs",
        "category": "theirs",
        "output_node": False,
        **more,
    }
    return {"Theirs": entry}


def inputs(knowledge: Knowledge, name: str = "Theirs") -> dict[str, Input]:
    found = knowledge.find(name)
    assert found
    return dict(found.inputs)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    with running(tmp_path_factory.mktemp("comfyui")) as server:
        yield server


def ask(sim: Sim) -> Info:
    answer: Info = httpx2.get(f"{sim.url}/object_info", trust_env=False).json()
    return answer


def test_all_that_is_known_of_all_classes_is_known_afterwards(sim: Sim) -> None:
    info = ask(sim)
    before, after = from_object_info(info), unpack(pack(info))
    assert after.complete
    assert list(after.classes) == sorted(before.classes)
    for name, node in before.classes.items():
        kept = after.classes[name]
        assert list(kept.inputs) == list(node.inputs)
        assert [_essence(each) for each in kept.inputs.values()] == [_essence(each) for each in node.inputs.values()]
        assert (kept.hidden, kept.outputs, kept.output_node, kept.api_node) == (
            node.hidden,
            node.outputs,
            node.output_node,
            node.api_node,
        )


def _essence(each: Input) -> tuple[object, ...]:
    bounds = (each.minimum, each.maximum, each.force_input, each.control_after_generate, each.takes_literal)
    return (each.name, each.type, each.required, each.choices, each.folder, each.fixed, *bounds)


def test_files_that_come_and_go_change_nothing(sim: Sim) -> None:
    before = pack(ask(sim))
    for folder in ("models/checkpoints", "models/loras", "input"):
        path = sim.base / folder / "new.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((sim.base / "models" / "checkpoints" / "sd15.safetensors").read_bytes())
    (sim.base / "input" / "new.png").write_bytes(b"")
    now = ask(sim)
    assert "new.safetensors" in json.dumps(now)
    assert "new.png" in json.dumps(now)
    assert pack(now) == before


def test_the_order_of_loading_changes_nothing_and_the_order_of_inputs_stays() -> None:
    other = one({"b": ["INT", {}], "a": ["INT", {}]})
    entries = {"One": other["Theirs"], "Two": other["Theirs"]}
    assert pack(entries) == pack(dict(reversed(entries.items())))
    assert list(inputs(unpack(pack(other)))) == ["b", "a"]


def test_what_only_people_read_is_left_out() -> None:
    packed = pack(one({"size": ["INT", {"default": 8, "min": 1, "max": 64, "tooltip": "How large"}]}))
    assert b"How large" not in gzip.decompress(packed)
    assert b"Does what they want" not in gzip.decompress(packed)
    size = inputs(unpack(packed))["size"]
    assert (size.default, size.minimum, size.maximum) == (8, 1, 64)


def test_choices_stay_unless_they_are_names_of_files() -> None:
    kept = inputs(
        unpack(
            pack(
                one(
                    {
                        "mode": [["fast", "good"], {"default": "good"}],
                        "style": ["COMBO", {"options": ["oil", "ink"]}],
                        "model": [["a.safetensors", "b.gguf"], {"default": "a.safetensors"}],
                        "other": ["COMBO", {"options": ["c.pth"]}],
                    }
                )
            )
        )
    )
    assert {name: each.choices for name, each in kept.items()} == {
        "mode": ("fast", "good"),
        "style": ("oil", "ink"),
        "model": None,
        "other": None,
    }
    assert kept["model"].default is None


def test_files_in_inputs_that_depend_on_a_choice_are_left_out_too() -> None:
    def told(file: str) -> bytes:
        option = {"key": "own", "inputs": {"required": {"file": [[file], {}], "size": ["INT", {"tooltip": "t"}]}}}
        grown = {"template": {"input": {"required": {"image": ["IMAGE", {"tooltip": "t"}]}}, "prefix": "i", "max": 3}}
        group = {"template": {"required": {"lora": [[file], {}]}}}
        slot = {"slotType": "IMAGE", "inputs": {"required": {"file": [[file], {}]}}}
        return pack(
            one(
                {
                    "how": ["COMFY_DYNAMICCOMBO_V3", {"options": [option, {"key": "none", "inputs": {}}]}],
                    "images": ["COMFY_AUTOGROW_V3", grown],
                    "loras": ["COMFY_DYNAMICGROUP_V3", group],
                    "maybe": ["COMFY_DYNAMICSLOT_V3", slot],
                }
            )
        )

    assert told("a.safetensors") == told("b.safetensors")
    known = unpack(told("a.safetensors")).find("Theirs")
    assert known
    assert set(known.inputs_for({"how": "own", "loras.0.lora": "x", "maybe": ["1", 0]})) == {
        *("how", "how.file", "how.size", "images.i0", "images.i1", "images.i2", "loras.0.lora", "maybe", "maybe.file")
    }


@pytest.mark.parametrize("entry", [None, {}, {"input": {"required": {"a": []}}, "output": []}, "text"])
def test_a_class_that_cannot_be_read_is_there_all_the_same(entry: object) -> None:
    known = unpack(pack({**one({"a": ["INT", {}]}), "Odd": entry}))
    assert list(known.classes) == ["Theirs"]
    assert not known.complete


def test_too_many_classes_are_not_kept() -> None:
    words = [f"{n:x}{n * 7919:x}{n * 104729:x}" for n in range(100_000)]
    with pytest.raises(ValueError, match=f"of its 1 node classes has [0-9]+ bytes, [0-9]+ compressed; .* {MAX_BYTES}"):
        pack(one({"word": [words, {}]}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no JSON"),
        gzip.compress(b"[]"),
        gzip.compress(b'{"A": 1}'),
        gzip.compress(b"[" * 100_000),
        gzip.compress(b" " * 16_000_001),
        gzip.compress(b"{}")[:-4],
    ],
    ids=["empty", "no-gzip", "no-json", "a-list", "no-class", "deep", "huge", "cut"],
)
def test_what_somebody_else_has_put_there_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="this is no packed answer to GET /object_info"):
        unpack(content)


def test_the_whole_of_comfyui_takes_a_small_part_of_what_fits(sim: Sim) -> None:
    assert len(pack(ask(sim))) < MAX_BYTES / 20
