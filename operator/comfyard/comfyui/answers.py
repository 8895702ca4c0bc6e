"""ComfyUI's answers as typed values. Custom nodes put anything into a history entry, so nothing is trusted here."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SUCCESS = "execution_success"
ERROR = "execution_error"
INTERRUPTED = "execution_interrupted"
_ENDINGS = frozenset({_SUCCESS, ERROR, INTERRUPTED})
_CACHED = "execution_cached"
_TEXT = "text"
_REMARKS = frozenset({"animated"})
"""Kinds that only say something of the files beside them."""


@dataclass(frozen=True)
class Queue:
    """Prompt ids of /queue: those that run (one, in practice) and those that wait, in the order they will run."""

    running: tuple[str, ...]
    pending: tuple[str, ...]

    def __contains__(self, prompt_id: object) -> bool:
        return prompt_id in self.running or prompt_id in self.pending


@dataclass(frozen=True)
class OutputFile:
    """A file as ComfyUI names it.

    Attributes:
        folder: "output", or "temp" for previews, which are gone after a restart.
    """

    filename: str
    subfolder: str
    folder: str


@dataclass(frozen=True)
class OutputValue:
    """A result that is no file: a text, or anything else that a node shows, as JSON.

    Attributes:
        filename: What it would be called as a file.
    """

    filename: str
    content: bytes


@dataclass(frozen=True)
class HistoryEntry:
    """How one prompt ended.

    Attributes:
        succeeded: What ComfyUI calls success; outputs may be missing all the same.
        ending: The last message's type; tells an interruption from an error, which the status does not.
        details: That message's data, such as node_id, exception_type and exception_message.
        files: By the id of the node that stored them; filled for what finished before an error, too.
        values: Results that are no files, likewise.
        cached: Nodes that were not run, as ComfyUI had their results of an earlier prompt.
    """

    succeeded: bool
    ending: str
    details: Mapping[str, Any]
    files: Mapping[str, tuple[OutputFile, ...]]
    values: Mapping[str, tuple[OutputValue, ...]]
    cached: frozenset[str]


@dataclass(frozen=True)
class About:
    """What a server says of itself; empty where it does not.

    Attributes:
        device: Its first one, as "cuda:0 NVIDIA L4 : cudaMallocAsync".
    """

    version: str = ""
    device: str = ""


def parse_about(answer: Any) -> About:  # noqa: ANN401 - JSON from outside
    """Read GET /system_stats."""
    match answer:
        case {"system": {"comfyui_version": version}, "devices": [{"name": device}, *_]}:
            return About(str(version), str(device))
        case {"system": {"comfyui_version": version}}:
            return About(str(version))
        case _:
            return About()


def parse_queue(answer: Any) -> Queue:  # noqa: ANN401 - JSON from outside
    """Read GET /queue. Pending prompts come in heap order, which is not the order they run in."""
    pending = sorted(answer["queue_pending"], key=lambda item: (item[0], item[1]))
    return Queue(
        running=tuple(str(item[1]) for item in answer["queue_running"]),
        pending=tuple(str(item[1]) for item in pending),
    )


def parse_history(answer: Any, prompt_id: str) -> HistoryEntry | None:  # noqa: ANN401 - JSON from outside
    """Read GET /history/{id}, which is {} with 200 for an id that is not there."""
    entry = answer.get(prompt_id)
    if entry is None:
        return None
    status = entry.get("status") or {}
    messages = list(_messages(status.get("messages")))
    endings = [message for message in messages if message[0] in _ENDINGS]
    ending, details = endings[-1] if endings else ("", {})
    outputs = entry.get("outputs") or {}
    return HistoryEntry(
        succeeded=status.get("status_str") == "success",
        ending=ending,
        details=details,
        files={str(node): _files(output) for node, output in outputs.items()},
        values={str(node): _values(output) for node, output in outputs.items()},
        cached=frozenset(str(node) for kind, data in messages if kind == _CACHED for node in data.get("nodes") or []),
    )


def _messages(messages: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - JSON from outside
    for message in messages or []:
        match message:
            case [str() as kind, data]:
                yield kind, data if isinstance(data, dict) else {}
            case _:
                pass


def _files(output: Any) -> tuple[OutputFile, ...]:  # noqa: ANN401 - whatever a node returned
    """The files among a node's output: videos come under "images", and custom nodes have kinds of their own."""
    found: list[OutputFile] = []
    for items in output.values() if isinstance(output, dict) else ():
        for item in _items(items):
            if _is_file(item):
                file = OutputFile(item["filename"], str(item.get("subfolder") or ""), str(item.get("type") or "output"))
                if file not in found:
                    found.append(file)
    return tuple(found)


def _values(output: Any) -> tuple[OutputValue, ...]:  # noqa: ANN401 - whatever a node returned
    """What is no file: each text by itself, everything else together by kind."""
    texts: list[OutputValue] = []
    others: dict[str, list[Any]] = {}
    for kind, items in output.items() if isinstance(output, dict) else ():
        for item in () if kind in _REMARKS else _items(items):
            if kind == _TEXT and isinstance(item, str):
                texts.append(OutputValue("text.txt", item.encode(errors="replace")))
            elif item is not None and not _is_file(item):
                others.setdefault(str(kind), []).append(_finite(item))
    if others:
        content = json.dumps(others, ensure_ascii=False, allow_nan=False).encode(errors="replace")
        return (*texts, OutputValue("values.json", content))
    return tuple(texts)


def _items(items: Any) -> list[Any]:  # noqa: ANN401 - whatever a node returned
    return items if isinstance(items, list) else [items]


def _is_file(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("filename"), str)


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value, and what ComfyUI takes for one
    """Without NaN and infinities, which are not JSON: null, as JavaScript writes them."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case _:
            return value
