"""What a receipt says of graphs: the same for two jobs that render the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from comfyard.workflow.digest import digest
from comfyard.workflow.graph import Graph
from comfyard.workflow.prompts import PREFIX_INPUT


def graph_digest(graphs: Sequence[Graph], files: Mapping[str, str]) -> str:
    """Digest of the graphs of all indexes, in order, without what is only there to keep jobs apart.

    Args:
        graphs: As ComfyUI gets them.
        files: Parameter by the name that its file has in ComfyUI's input directory, which holds the job's uid. What
            is in the file is another part of the receipt.
    """
    return digest([{node: neutral(content, files) for node, content in graph.items()} for graph in graphs])


def neutral(node: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """A node without the prefix of its files' names, and with parameters where names of input files stand."""
    inputs = {name: "" if name == PREFIX_INPUT else _rename(value, files) for name, value in node["inputs"].items()}
    return {"class_type": node["class_type"], "inputs": inputs}


def _rename(value: Any, files: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            for name, parameter in files.items():
                value = value.replace(name, f"{{{{{parameter}}}}}")
            return value
        case Mapping():
            return {key: _rename(item, files) for key, item in value.items()}
        case list():
            return [_rename(item, files) for item in value]
        case _:
            return value
