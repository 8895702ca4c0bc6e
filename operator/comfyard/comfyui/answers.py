"""ComfyUI's answers as typed values. Custom nodes put anything into a history entry, so nothing is trusted here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUCCESS = "execution_success"
ERROR = "execution_error"
INTERRUPTED = "execution_interrupted"
_ENDINGS = frozenset({SUCCESS, ERROR, INTERRUPTED})


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
class HistoryEntry:
    """How one prompt ended.

    Attributes:
        succeeded: What ComfyUI calls success; outputs may be missing all the same.
        ending: The last message's type; tells an interruption from an error, which the status does not.
        details: That message's data, such as node_id, exception_type and exception_message.
        files: By the id of the node that stored them; filled for what finished before an error, too.
    """

    succeeded: bool
    ending: str
    details: Mapping[str, Any]
    files: Mapping[str, tuple[OutputFile, ...]]


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
    messages = [m for m in status.get("messages") or [] if isinstance(m, list) and m and m[0] in _ENDINGS]
    ending, details = messages[-1] if messages else ("", {})
    outputs = entry.get("outputs") or {}
    return HistoryEntry(
        succeeded=status.get("status_str") == "success",
        ending=str(ending),
        details=details if isinstance(details, dict) else {},
        files={str(node): _files(output) for node, output in outputs.items()},
    )


def _files(output: Any) -> tuple[OutputFile, ...]:  # noqa: ANN401 - whatever a node returned
    """The files among a node's output: videos come under "images", and custom nodes have kinds of their own."""
    found: list[OutputFile] = []
    for items in output.values() if isinstance(output, dict) else ():
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("filename"), str):
                file = OutputFile(item["filename"], str(item.get("subfolder") or ""), str(item.get("type") or "output"))
                if file not in found:
                    found.append(file)
    return tuple(found)
