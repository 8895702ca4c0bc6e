"""ComfyUI's refusals as sentences for a person."""

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 400
"""Characters of one problem: "value not in list" may carry twenty long file names."""


def describe_refusal(answer: Any) -> list[str]:  # noqa: ANN401 - JSON from outside
    """What ComfyUI has against a graph, one sentence a problem, never empty.

    Args:
        answer: The body of its 400, or of a 200 with node_errors.
    """
    body = answer if isinstance(answer, Mapping) else {}
    problems = list(describe_node_errors(body.get("node_errors")))
    return problems or [_shorten(_describe_error(body.get("error")))]


def describe_node_errors(node_errors: Any) -> Iterator[str]:  # noqa: ANN401 - JSON from outside
    """One sentence for each error of each node; a list is ComfyUI's way to say that there are none."""
    if not isinstance(node_errors, Mapping):
        return
    for node_id, node in node_errors.items():
        for error in node.get("errors") or []:
            yield _shorten(f"node {node_id} ({node.get('class_type', '?')}){_where(error)}: {_what(error)}")


def _where(error: Mapping[str, Any]) -> str:
    name = (error.get("extra_info") or {}).get("input_name")
    return f", input {name}" if name else ""


def _what(error: Mapping[str, Any]) -> str:
    """Message and details; the details of an input's error often begin with its name, which is said already."""
    message = str(error.get("message") or error.get("type") or "refused")
    name = (error.get("extra_info") or {}).get("input_name")
    details = str(error.get("details") or "")
    if name:
        details = "" if details == name else details.removeprefix(f"{name}: ").removeprefix(f"{name}, ")
    return f"{message}: {details}" if details else message


def _describe_error(error: Any) -> str:  # noqa: ANN401 - JSON from outside
    if not isinstance(error, Mapping):
        return f"refused: {error}" if error else "refused without a reason"
    message, details = str(error.get("message") or ""), str(error.get("details") or "")
    match error.get("type"):
        case "invalid_prompt":
            return f"{message} ({details}); the server's image must have the custom node that brings the class"
        case "prompt_no_outputs":
            return f"{message}: the graph needs an output node, such as SaveImage"
        case "prompt_outputs_failed_validation" if not details:  # 0.3.64 says no more than this for a cycle
            return f"{message}: look for a link that leads back to its own node"
        case _:
            return f"{message}: {details}" if details else message or "refused without a reason"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
