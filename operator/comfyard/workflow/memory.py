"""How much VRAM a graph needs, from what the headers of its files tell.

ComfyUI gives VRAM to what it does now, and moves everything else away when room is short: text encoders and VAE are not
there while it samples (`load_models_gpu` in `comfy/model_management.py` of 0.3.64, from which the figures below are).
What must fit at once is therefore the larger of two steps:

- encoding text: the text encoders that one loader joins;
- sampling: the largest diffusion model, as several are used one after the other, with all ControlNets, and what the
  model works with, which grows with the latent.

LoRAs are merged into the weights, VAEs split their work into tiles. With less than that, weights are copied from main
memory at every step: it works, several times slower. The estimate is the least that can be: files of which nothing is
known count for nothing, and models are taken for as frugal as SD 1.5 (FLUX works with three times as much).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfyard.api.model_bundle import ModelStatus
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.graph import Graph
from comfyard.workflow.landings import landings
from comfyard.workflow.models import named_files, names_model
from comfyard.workflow.object_info import core

_MIB = 2**20
_RESERVED = 400 * _MIB
"""Left free for others (EXTRA_RESERVED_VRAM on Linux)."""

_LEAST_WORKING = 1024 * _MIB * 8 // 10
"""What a model is given to work with at least (minimum_inference_memory)."""

_PER_LATENT_PIXEL = _MIB * 2 // 100
"""Bytes for each pixel of the latent, in 16 bits, times a factor by family: 0.8 SDXL, 1.0 SD 1.5, 1.8 Qwen-Image,
2.3 Wan 14B, 3.1 FLUX (memory_required in comfy/model_base.py, memory_usage_factor in comfy/supported_models.py)."""

_LATENTS = {
    "EmptyLatentImage": (8, 1),
    "EmptySD3LatentImage": (8, 1),
    "EmptyHunyuanLatentVideo": (8, 4),
    "HunyuanImageToVideo": (8, 4),
    "WanImageToVideo": (8, 4),
    "WanFirstLastFrameToVideo": (8, 4),
    "WanVaceToVideo": (8, 4),
    "Wan22ImageToVideoLatent": (16, 4),
    "EmptyLTXVLatentVideo": (32, 8),
    "LTXVImgToVideo": (32, 8),
}
"""Nodes that say how large the latent is, and how many pixels and frames of the result one of its own stands for."""

_IN_16_BITS = {"F32": 2, "F64": 4}
"""By how much weights shrink when they are loaded: GPUs work in 16 bits where a file has more (unet_dtype)."""

_IN_8_BITS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Likewise when UNETLoader is told to keep them in fp8."""


@dataclass(frozen=True)
class Estimate:
    """What the step that needs most needs.

    Attributes:
        step: What ComfyUI does then, for a person.
        files: What is loaded for it.
        weights: Bytes of that.
        working: Bytes besides.
    """

    step: str
    files: tuple[str, ...]
    weights: int
    working: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weights + self.working


@dataclass(frozen=True)
class _Load:
    node: str
    inputs: Mapping[str, Any]
    row: ModelStatus


def deciding(spec: WorkflowTemplateSpec) -> frozenset[str]:
    """The parameters that may decide which files a job loads, and how much VRAM it needs: all others need no look.

    Those are what lands in a node that names files, may name some by a dynamic input, or makes a latent.
    """
    nodes = {node_id for node_id, node in spec.graph.items() if _decides(str(node["class_type"]))}
    return frozenset(name for name, places in landings(spec).items() if any(each.node in nodes for each in places))


def _decides(class_type: str) -> bool:
    known = core().find(class_type)
    inputs = known.inputs.values() if known else ()
    return class_type in _LATENTS or any(names_model(each) or each.is_dynamic for each in inputs)


def estimate(graph: Graph, rows: Mapping[str, ModelStatus]) -> Estimate | None:
    """What a graph needs at least.

    Args:
        graph: With all values in place, and without the nodes that no output needs.
        rows: What is known of the files that it may name, by path.

    Returns:
        None when nothing is known of any.
    """
    loads = list(_loads(graph, rows))
    steps = [step for step in (_encoding(loads), _sampling(loads, graph)) if step]
    return max(steps, key=lambda step: step.bytes, default=None)


def _loads(graph: Graph, rows: Mapping[str, ModelStatus]) -> Iterator[_Load]:
    for node_id, node in graph.items():
        for each, name in named_files(node, core()):
            row = rows.get(f"{each.folder}/{name}")
            if row is not None and row.tensor_bytes is not None:
                yield _Load(node_id, node["inputs"], row)


def _encoding(loads: list[_Load]) -> Estimate | None:
    by_node: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for load in loads:
        if load.row.kind == "TextEncoder":
            by_node[load.node][load.row.path] = _resident(load)
    largest = max(by_node.values(), key=lambda files: sum(files.values()), default=None)
    if largest is None:
        return None
    return Estimate("encoding the text", tuple(largest), sum(largest.values()), _working(0))


def _sampling(loads: list[_Load], graph: Graph) -> Estimate | None:
    models = {load.row.path: _resident(load) for load in loads if load.row.kind in {"Checkpoint", "DiffusionModel"}}
    if not models:
        return None
    path = max(models, key=lambda path: models[path])
    files = {path: models[path]} | {load.row.path: _resident(load) for load in loads if load.row.kind == "ControlNet"}
    return Estimate("sampling", tuple(files), sum(files.values()), _working(_latent_pixels(graph)))


def _resident(load: _Load) -> int:
    """Bytes of the weights in VRAM."""
    row = load.row
    size = row.tensor_bytes if row.diffusion_bytes is None else row.diffusion_bytes
    told = str(load.inputs.get("weight_dtype", ""))
    shrinks = _IN_8_BITS if told.startswith("fp8") and row.kind == "DiffusionModel" else _IN_16_BITS
    return (size or 0) // shrinks.get(row.dtype or "", 1)


def _working(latent_pixels: int) -> int:
    return max(_LEAST_WORKING, latent_pixels * _PER_LATENT_PIXEL) + _RESERVED


def _latent_pixels(graph: Graph) -> int:
    """Of the largest latent whose size the graph tells; 0: of none."""
    return max((_pixels(node) for node in graph.values() if node["class_type"] in _LATENTS), default=0)


def _pixels(node: Mapping[str, Any]) -> int:
    space, time = _LATENTS[node["class_type"]]
    inputs = node["inputs"]
    try:
        width, height, frames, batch = (int(inputs.get(key, 1)) for key in ("width", "height", "length", "batch_size"))
    except (TypeError, ValueError):  # linked
        return 0
    return max(0, (width // space) * (height // space) * ((frames - 1) // time + 1) * batch)
