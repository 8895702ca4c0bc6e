"""Whether files are what the loaders that name them load: a LoRA under checkpoints/ fails only on the GPU otherwise."""

from collections.abc import Iterator, Mapping

from comfyard.api.model_bundle import ModelKind
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.findings import Finding, error
from comfyard.workflow.graph import ancestors, as_link
from comfyard.workflow.landings import landings
from comfyard.workflow.models import Use, model_uses
from comfyard.workflow.object_info import Knowledge

_ADD_ONS: frozenset[ModelKind] = frozenset({"Lora", "ControlNet", "Embedding", "UpscaleModel", "ClipVision"})

_WRONG: Mapping[str, frozenset[ModelKind]] = {
    "checkpoints": _ADD_ONS | {"Vae", "TextEncoder"},
    "diffusion_models": _ADD_ONS | {"Vae", "TextEncoder"},
    "text_encoders": _ADD_ONS - {"ClipVision"} | {"DiffusionModel", "Vae"},
    "vae": _ADD_ONS | {"DiffusionModel", "TextEncoder"},
    "loras": _ADD_ONS - {"Lora"} | {"Checkpoint", "DiffusionModel", "Vae", "TextEncoder"},
    "controlnet": _ADD_ONS - {"ControlNet"} | {"Vae", "TextEncoder"},
    "clip_vision": _ADD_ONS - {"ClipVision"} | {"DiffusionModel", "Vae"},
    "upscale_models": _ADD_ONS - {"UpscaleModel"} | {"Checkpoint", "DiffusionModel", "Vae", "TextEncoder"},
}
"""By folder: what ComfyUI's loaders of that folder refuse, or take without any effect. A checkpoint is no mistake where
a part of it is wanted: UNETLoader takes that part."""

_HOME: Mapping[ModelKind, tuple[str, str, str]] = {
    "Checkpoint": ("a checkpoint", "checkpoints", "CheckpointLoaderSimple"),
    "DiffusionModel": ("a diffusion model alone", "diffusion_models", "UNETLoader"),
    "Vae": ("a VAE", "vae", "VAELoader"),
    "TextEncoder": ("a text encoder", "text_encoders", "CLIPLoader"),
    "ClipVision": ("a CLIP vision model", "clip_vision", "CLIPVisionLoader"),
    "Lora": ("a LoRA", "loras", "LoraLoader"),
    "ControlNet": ("a ControlNet", "controlnet", "ControlNetLoader"),
    "Embedding": ("an embedding", "embeddings", "the words embedding:NAME in a prompt"),
    "UpscaleModel": ("an upscale model", "upscale_models", "UpscaleModelLoader"),
}
"""How a kind is called, where its files belong, and what loads them."""


def check_kinds(spec: WorkflowTemplateSpec, kinds: Mapping[str, ModelKind], knowledge: Knowledge) -> list[Finding]:
    """What is wrong with the files that a template names, as far as it is known what they are.

    Args:
        spec: The template.
        kinds: Of the files that its bundles provide, by path.
        knowledge: Of the inputs that name files.
    """
    return [
        error(use.place, message)
        for use in model_uses(spec, knowledge)
        for kind in [kinds.get(use.path, "Unknown")]
        for message in _problems(spec, use, kind)
    ]


def _problems(spec: WorkflowTemplateSpec, use: Use, kind: ModelKind) -> Iterator[str]:
    folder = use.path.partition("/")[0]
    if kind in _WRONG.get(folder, ()):
        name, home, loader = _HOME[kind]
        yield (
            f"{use.by}: {use.path} is {name}, which loaders of folder {folder} do not load; put it below {home}/ in "
            f"its bundle and load it with {loader}, or name another file"
        )
    elif kind == "DiffusionModel" and folder == "checkpoints" and _wants_more_than_the_model(spec, use):
        yield (
            f"{use.by}: {use.path} is a diffusion model alone, without the text encoder and VAE that the graph takes "
            "from this node; put it below diffusion_models/ and load it with UNETLoader, CLIPLoader and VAELoader, or "
            "name a checkpoint"
        )


def _wants_more_than_the_model(spec: WorkflowTemplateSpec, use: Use) -> bool:
    """Whether something that an output needs is linked to another output than the first of the nodes that load it."""
    loaders = _nodes_of(spec, use)
    needed = ancestors(spec.graph, (output.node for output in spec.outputs))
    links = (as_link(value) for node_id in needed for value in spec.graph[node_id]["inputs"].values())
    return any(link and link[0] in loaders and link[1] > 0 for link in links)


def _nodes_of(spec: WorkflowTemplateSpec, use: Use) -> set[str]:
    match use.place:
        case ("spec", "graph", str(node_id), *_):
            return {node_id}
        case ("spec", "parameters", int(index), *_):
            return {landing.node for landing in landings(spec)[spec.parameters[index].name]}
        case _:
            return set()
