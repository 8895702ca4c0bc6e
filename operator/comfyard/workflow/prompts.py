"""From a template's accepted content and a job's values to the prompts that ComfyUI gets."""

import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.graph import prune
from comfyard.workflow.landings import substitute
from comfyard.workflow.parameters import MAX_SEED

PREFIX_INPUT = "filename_prefix"


@dataclass(frozen=True)
class Prompt:
    """One submission to ComfyUI.

    Attributes:
        id: Canonical lower-case UUID, the same for the same job, attempt and index.
        index: Which of the job's `count`.
        graph: In API format, with all values in place.
        outputs: Node id to the name its files get.
        prefix: The folder under ComfyUI's output directory that all files of this prompt lie in.
    """

    id: str
    index: int
    graph: dict[str, Any]
    outputs: dict[str, str]
    prefix: str


def prompt_id(uid: str, attempt: int, index: int) -> str:
    """UUIDv5 of the job's uid, attempt and index: who asks again after a crash asks for the same prompt."""
    return str(uuid.uuid5(uuid.UUID(uid), f"{attempt}/{index}"))


def build_prompts(
    template: WorkflowTemplateSpec, parameters: Mapping[str, Any], seed: int, *, uid: str, attempt: int, count: int
) -> list[Prompt]:
    """One prompt for each index, its seed being seed + index.

    Every node that names its files gets a folder of its own for this job, attempt and index: ComfyUI's cache returns
    old file names for a graph it has seen, and two jobs must never be given each other's files.
    """
    return [_build(template, parameters, (seed + i) % (MAX_SEED + 1), uid, attempt, i) for i in range(count)]


def _build(
    template: WorkflowTemplateSpec, parameters: Mapping[str, Any], seed: int, uid: str, attempt: int, index: int
) -> Prompt:
    values = dict(parameters)
    for parameter in template.parameters:
        if parameter.type == "Seed":
            values[parameter.name] = str(seed)  # ComfyUI reads it exactly; JSON numbers over 2^53 lose digits in others
    outputs = {output.node: output.name for output in template.outputs}
    # Nodes that nothing asked for would only cost, and one without inputs ends ComfyUI's worker thread.
    graph = prune(substitute(deepcopy(dict(template.graph)), values, template.parameters), outputs)
    prefix = f"{uid}/{attempt}-{index}"
    for node_id, node in graph.items():
        if PREFIX_INPUT in node["inputs"]:
            node["inputs"][PREFIX_INPUT] = f"{prefix}/{node_id}"
    return Prompt(prompt_id(uid, attempt, index), index, graph, outputs, prefix)
