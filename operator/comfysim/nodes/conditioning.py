"""Nodes that turn prompts into conditioning."""

from __future__ import annotations

import dataclasses

from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Clip, Conditioning

NO_CLIP = (
    "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your checkpoint does not "
    "contain a valid clip or text encoder model."
)


def _encode(clip: Clip | None, text: str, guidance: float | None = None) -> NodeOutput:
    if clip is None:
        raise RuntimeError(NO_CLIP)
    if not clip.names:
        raise RuntimeError("the text encoder has no weights")
    return NodeOutput((Conditioning(text, guidance),))


@NODES.node("CLIPTextEncode")
def clip_text_encode(ctx: NodeContext, clip: Clip, text: str) -> NodeOutput:
    """Encodes a prompt."""
    del ctx
    return _encode(clip, text)


@NODES.node("CLIPTextEncodeSDXL")
def clip_text_encode_sdxl(  # noqa: PLR0913 - the class' inputs
    ctx: NodeContext,
    *,
    clip: Clip,
    width: int,
    height: int,
    crop_w: int,
    crop_h: int,
    target_width: int,
    target_height: int,
    text_g: str,
    text_l: str,
) -> NodeOutput:
    """Encodes a prompt for both of SDXL's encoders."""
    del ctx, width, height, crop_w, crop_h, target_width, target_height
    return _encode(clip, _joined(text_g, text_l))


@NODES.node("CLIPTextEncodeSDXLRefiner")
def clip_text_encode_refiner(
    ctx: NodeContext, ascore: float, width: int, height: int, text: str, clip: Clip
) -> NodeOutput:
    """Encodes a prompt for SDXL's refiner."""
    del ctx, ascore, width, height
    return _encode(clip, text)


@NODES.node("CLIPTextEncodeFlux")
def clip_text_encode_flux(ctx: NodeContext, clip: Clip, clip_l: str, t5xxl: str, guidance: float) -> NodeOutput:
    """Encodes a prompt for both of Flux' encoders."""
    del ctx
    return _encode(clip, _joined(t5xxl, clip_l), guidance)


@NODES.node("FluxGuidance")
def flux_guidance(ctx: NodeContext, conditioning: Conditioning, guidance: float) -> NodeOutput:
    """Sets how closely Flux follows the prompt."""
    del ctx
    return NodeOutput((dataclasses.replace(conditioning, guidance=guidance),))


@NODES.node("ConditioningZeroOut")
def conditioning_zero_out(ctx: NodeContext, conditioning: Conditioning) -> NodeOutput:
    """Makes a conditioning that says nothing."""
    del ctx
    return NodeOutput((dataclasses.replace(conditioning, text=""),))


def _joined(first: str, second: str) -> str:
    return first if first == second or not second else f"{first} {second}".strip()
