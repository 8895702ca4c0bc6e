"""Why a prompt has no results: the class that decides what follows, and words for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comfyard.api.generation_job import FailureClass
from comfyard.comfyui.answers import ERROR, INTERRUPTED, HistoryEntry, OutputFile
from comfyard.comfyui.errors import RefusedError

MESSAGE_BOUND = 1000
"""Characters of a message that are kept."""

_OUT_OF_MEMORY_TYPE = "OutOfMemoryError"
"""torch.OutOfMemoryError, and torch.cuda.OutOfMemoryError of older releases."""
_OUT_OF_MEMORY_TEXT = "CUDA out of memory"
_POISONED = ("illegal memory access", "device-side assert", "unspecified launch failure", "CUDA error: misaligned")
"""After these every later CUDA call of the process fails, too."""


@dataclass(frozen=True)
class Failure:
    """A prompt that has no results.

    Attributes:
        failure_class: What follows from it.
        message: Node id, class, exception type and its first line, where there are any.
        restart: ComfyUI's process is of no more use.
        free: The next try needs it without models in memory and without cached results.
    """

    prompt_id: str
    failure_class: FailureClass
    message: str
    restart: bool = False
    free: bool = False


def fail(
    prompt_id: str, failure_class: FailureClass, message: str, *, restart: bool = False, free: bool = False
) -> Failure:
    """A failure with its message cut to the bound."""
    text = message if len(message) <= MESSAGE_BOUND else message[: MESSAGE_BOUND - 1] + "…"
    return Failure(prompt_id, failure_class, text, restart, free)


def refused(prompt_id: str, error: RefusedError) -> Failure:
    """A graph that ComfyUI does not take; it would not take it another time either."""
    return fail(prompt_id, "Invalid", f"ComfyUI refused the graph: {error}")


def raised(prompt_id: str, entry: HistoryEntry) -> Failure:
    """A prompt that ended with an error. ComfyUI's status says "error" for an interruption as well."""
    details = entry.details
    if entry.ending == INTERRUPTED:
        return fail(prompt_id, "ServerLost", "the prompt was interrupted before it had ended")
    if entry.ending != ERROR:
        return fail(prompt_id, "NodeError", "ComfyUI reports an error without saying which")
    kind = str(details.get("exception_type") or "Exception")
    text = str(details.get("exception_message") or "").strip()
    first_line = text.splitlines()[0] if text else "no message"
    message = f"node {details.get('node_id', '?')} ({details.get('node_type', '?')}): {kind}: {first_line}"
    if kind.rpartition(".")[2] == _OUT_OF_MEMORY_TYPE or _OUT_OF_MEMORY_TEXT in text:
        return fail(prompt_id, "OutOfVRAM", message, free=True)
    return fail(prompt_id, "NodeError", message, restart=any(words in text for words in _POISONED))


def stored_nothing(
    prompt_id: str, missing: Sequence[str], graph: Mapping[str, Mapping[str, object]], entry: HistoryEntry
) -> Failure:
    """A prompt that ComfyUI calls a success though an output node shows nothing, as after an ExecutionBlocker."""
    named = ", ".join(_named(node, graph) for node in missing)
    previews = any(file.folder != "output" for node in missing for file in entry.files.get(node, ()))
    why = "only a temporary preview: use a node that saves, such as SaveImage" if previews else "it stored no file"
    return fail(prompt_id, "NodeError", f"completed but {named} stored nothing ({why})")


def foreign(prompt_id: str, node: str, graph: Mapping[str, Mapping[str, object]], file: OutputFile) -> Failure:
    """A prompt for which ComfyUI's cache names a file of another one: it may be another job's, or gone already."""
    message = (
        f"{_named(node, graph)} was not run: ComfyUI's cache named {file.filename} of an earlier job, which is not "
        "taken; the cache is dropped for the next try, and a node with an input filename_prefix does not need that"
    )
    return fail(prompt_id, "NodeError", message, free=True)


def _named(node: str, graph: Mapping[str, Mapping[str, object]]) -> str:
    return f"node {node} ({graph.get(node, {}).get('class_type', '?')})"
