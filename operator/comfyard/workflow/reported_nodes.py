"""What a server tells of its node classes (`GET /object_info`), in the form in which it is kept.

Small, and the same for all servers of one image: without what only people read, without names of files, which change
with every file that comes or goes, and in an order that does not depend on the order of loading. ComfyUI 0.3.64 answers
with 506 kB; 496 classes are kept in 31 kB.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from comfyard.workflow.node_class import COMBO, Input, read_inputs
from comfyard.workflow.object_info import Knowledge, from_object_info

KEY = "object_info.json.gz"
"""In the binaryData of the ConfigMap that it is kept in."""

MAX_BYTES = 900_000
"""Packed. A ConfigMap carries at most 1 MiB, names and all."""

MAX_TEXT_BYTES = 16_000_000
"""Unpacked. 30 times what ComfyUI's own classes take; a bound on what somebody else's packet can make us hold."""

_FOR_PEOPLE = frozenset({"tooltip", "display_name", "placeholder"})
_KEPT = ("input_order", "output_name", "output_is_list", "output_node", "api_node")
_GZIP = 16 + zlib.MAX_WBITS


def pack(info: Mapping[str, Any]) -> bytes:
    """The answer to GET /object_info, as it is kept.

    A class that cannot be read is kept by name: it is there, and nothing more is known of it.

    Raises:
        ValueError: It is something else, or too large to be kept.
    """
    text = json.dumps({name: _class(name, info[name]) for name in sorted(info)}, separators=(",", ":")).encode()
    packed = gzip.compress(text, mtime=0)
    if len(text) > MAX_TEXT_BYTES or len(packed) > MAX_BYTES:
        raise ValueError(
            f"what the server tells of its {len(info)} node classes has {len(text)} bytes, {len(packed)} compressed; "
            f"{MAX_TEXT_BYTES} and {MAX_BYTES} can be kept"
        )
    return packed


def unpack(packed: bytes) -> Knowledge:
    """What was packed; not complete when it has classes of which only the name is known.

    Raises:
        ValueError: Nobody packed this here.
    """
    try:
        told = json.loads(_decompress(packed))
        known = from_object_info({name: entry for name, entry in told.items() if entry is not None})
    except (ValueError, zlib.error, AttributeError, RecursionError) as error:
        raise ValueError(f"this is no packed answer to GET /object_info: {error}") from error
    return Knowledge(known.classes, complete=len(known.classes) == len(told))


def _decompress(packed: bytes) -> bytes:
    reader = zlib.decompressobj(_GZIP)
    text = reader.decompress(packed, MAX_TEXT_BYTES)
    if not reader.eof:
        raise ValueError(f"more than {MAX_TEXT_BYTES} bytes, or cut off")
    return text


def _class(name: str, entry: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON from outside
    try:
        read = from_object_info({name: entry}).classes[name]
        outputs = [COMBO if isinstance(each, list) else each for each in entry["output"]]
        kept = {key: entry[key] for key in _KEPT if entry.get(key)}
        return {**kept, "input": _groups(entry["input"], read.inputs.values()), "output": outputs}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _groups(groups: Mapping[str, Any], inputs: Iterable[Input]) -> dict[str, Any]:
    read = {each.name: each for each in inputs}
    kept: dict[str, Any] = {
        group: {name: _input(spec, read[name]) for name, spec in groups[group].items() if name in read}
        for group in ("required", "optional")
        if groups.get(group)
    }
    return kept | ({"hidden": dict.fromkeys(groups["hidden"], "")} if groups.get("hidden") else {})


def _input(spec: list[Any], read: Input) -> list[Any]:
    """One input: its type, and its options without those that are no business of ours."""
    options = {key: value for key, value in read.options.items() if key not in _FOR_PEOPLE}
    files = read.type == COMBO and read.choices is None
    if files:
        options = {key: value for key, value in options.items() if key not in {"options", "default"}}
    kind = [] if isinstance(spec[0], list) and files else spec[0]
    return [kind, *([_dynamic(options)] if options else [])]


def _dynamic(options: dict[str, Any]) -> dict[str, Any]:
    """Options with other inputs in them: those of an option, of a slot, of a template."""
    match options:
        case {"options": [{"inputs": _}, *_] as listed}:
            return options | {"options": [each | {"inputs": _nested(each["inputs"])} for each in listed]}
        case {"inputs": dict() as groups}:
            return options | {"inputs": _nested(groups)}
        case {"template": {"input": dict() as groups} as template}:
            return options | {"template": template | {"input": _nested(groups)}}
        case {"template": dict() as groups}:
            return options | {"template": groups | _nested(groups)}
    return options


def _nested(groups: Mapping[str, Any]) -> dict[str, Any]:
    return _groups(groups, read_inputs(groups, ""))
