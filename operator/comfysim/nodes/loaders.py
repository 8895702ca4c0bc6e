"""Nodes that load model files: nothing is read but the header, but it takes the time reading would."""

from __future__ import annotations

import dataclasses

from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Clip, Model, Vae

BUILT_IN_VAES = ("taesd", "taesdxl", "taesd3", "taef1", "pixel_space")


def _load(ctx: NodeContext, folder: str, name: str) -> None:
    ctx.runtime.models.load(ctx.runtime.folders.get_full_path_or_raise(folder, name))


@NODES.node("CheckpointLoaderSimple")
def load_checkpoint(ctx: NodeContext, ckpt_name: str) -> NodeOutput:
    """Loads a checkpoint with all three parts."""
    _load(ctx, "checkpoints", ckpt_name)
    return NodeOutput((Model(ckpt_name), Clip((ckpt_name,)), Vae(ckpt_name)))


@NODES.node("UNETLoader")
def load_unet(ctx: NodeContext, unet_name: str, weight_dtype: str) -> NodeOutput:
    """Loads a diffusion model alone."""
    del weight_dtype
    _load(ctx, "diffusion_models", unet_name)
    return NodeOutput((Model(unet_name),))


@NODES.node("CLIPLoader")
def load_clip(ctx: NodeContext, clip_name: str, type: str, device: str = "default") -> NodeOutput:  # noqa: A002 - the inputs\' name
    """Loads one text encoder."""
    del type, device
    _load(ctx, "text_encoders", clip_name)
    return NodeOutput((Clip((clip_name,)),))


@NODES.node("DualCLIPLoader")
def load_two_clips(
    ctx: NodeContext,
    clip_name1: str,
    clip_name2: str,
    type: str,  # noqa: A002 - the input's name
    device: str = "default",
) -> NodeOutput:
    """Loads two text encoders."""
    del type, device
    _load(ctx, "text_encoders", clip_name1)
    _load(ctx, "text_encoders", clip_name2)
    return NodeOutput((Clip((clip_name1, clip_name2)),))


@NODES.node("VAELoader")
def load_vae(ctx: NodeContext, vae_name: str) -> NodeOutput:
    """Loads a VAE, or names a built-in approximation."""
    if vae_name not in BUILT_IN_VAES:
        _load(ctx, "vae", vae_name)
    return NodeOutput((Vae(vae_name),))


def _with_lora(model: Model, lora_name: str, strength: float) -> Model:
    if strength == 0:
        return model
    return dataclasses.replace(model, loras=(*model.loras, f"{lora_name} x{strength:g}"))


@NODES.node("LoraLoader")
def load_lora(
    ctx: NodeContext, model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
) -> NodeOutput:
    """Adds a LoRA to a model and its text encoder; at strength 0 not even the file is opened."""
    if strength_model != 0 or strength_clip != 0:
        _load(ctx, "loras", lora_name)
    return NodeOutput((_with_lora(model, lora_name, strength_model), clip))


@NODES.node("LoraLoaderModelOnly")
def load_lora_model_only(ctx: NodeContext, model: Model, lora_name: str, strength_model: float) -> NodeOutput:
    """Adds a LoRA to a model."""
    if strength_model != 0:
        _load(ctx, "loras", lora_name)
    return NodeOutput((_with_lora(model, lora_name, strength_model),))


@NODES.node("ModelSamplingFlux")
def model_sampling_flux(
    ctx: NodeContext, model: Model, max_shift: float, base_shift: float, width: int, height: int
) -> NodeOutput:
    """Changes a schedule that the stand-in does not have."""
    del ctx, max_shift, base_shift, width, height
    return NodeOutput((model,))


@NODES.node("CLIPSetLastLayer")
def clip_set_last_layer(ctx: NodeContext, clip: Clip, stop_at_clip_layer: int) -> NodeOutput:
    """Takes an earlier layer of the text encoder."""
    del ctx
    return NodeOutput((dataclasses.replace(clip, layer=stop_at_clip_layer),))
