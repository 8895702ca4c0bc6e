"""What a model file is, and what its weights are: told by the names and shapes of its tensors.

The names are those by which ComfyUI itself tells files apart when it loads them (`model_detection.py`, `sd.py`,
`controlnet.py`, `clip_vision.py`, `lora.py` and `weight_adapter/` of 0.3.64). A file is said to be of a kind only when
nothing speaks for another one: templates are refused for the wrong kind, so that a guess would do harm.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from comfyard.api.model_bundle import ModelKind
from comfyard.store.contents.safetensors import Tensor, is_safetensors, read_file
from comfyard.store.errors import NotASafetensorsError

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """What a file's header tells.

    Attributes:
        kind: What it is.
        bytes: Of all its tensors; None where no header tells.
        diffusion_bytes: Of those that are the diffusion model of a checkpoint, which ComfyUI loads apart from the rest.
        dtype: The type that most of the bytes have, as safetensors names it.
    """

    kind: ModelKind = "Unknown"
    bytes: int | None = None
    diffusion_bytes: int | None = None
    dtype: str | None = None


def weights_of(path: str, file: Path) -> Weights:
    """What a file is that lies under a path of the tree; nothing is known of other formats than safetensors.

    Raises:
        OSError: It could not be read.
    """
    with suppress(NotASafetensorsError):  # one that came when less was checked
        if is_safetensors(path):
            return weigh(read_file(file))
    return Weights()


def weigh(tensors: Tensors) -> Weights:
    """What the file with these tensors is."""
    kind = kind_of(tensors)
    by_dtype: Counter[str] = Counter()
    for tensor in tensors.values():
        by_dtype[tensor.dtype] += tensor.end - tensor.first
    inner = [tensor.end - tensor.first for name, tensor in tensors.items() if name.startswith(_DIFFUSION)]
    return Weights(
        kind=kind,
        bytes=by_dtype.total(),
        diffusion_bytes=sum(inner) if kind == "Checkpoint" else None,
        dtype=by_dtype.most_common(1)[0][0] if by_dtype else None,
    )


def kind_of(tensors: Tensors) -> ModelKind:
    """What a file with these tensors is; Unknown unless exactly one kind is possible."""
    if "lora_controlnet" in tensors:  # a ControlNet of which only the difference to its UNet is stored
        return "ControlNet"
    adapters = [match for name in tensors if (match := _ADAPTER.search(name))]
    if any(match["matrix"] for match in adapters):
        return "Lora" if 2 * len(adapters) > len(tensors) else "Unknown"
    if any(name.startswith(_DIFFUSION) for name in tensors):
        return _whole(tensors)
    if _has_any(tensors, _CONTROL_NETS):
        return "ControlNet"  # many are half a diffusion model, and have its names
    found: list[ModelKind] = [kind for kind, signs in _SIGNS.items() if _has_any(tensors, signs)]
    if _is_language_model(tensors):
        found.append("TextEncoder")
    if _is_embedding(tensors):
        found.append("Embedding")
    if len(found) != 1 or (found[0] in _ENTIRE and not all(name.startswith(_ENTIRE[found[0]]) for name in tensors)):
        return "Unknown"
    return found[0]


def _whole(tensors: Tensors) -> ModelKind:
    """The kind of a file that has a diffusion model as a part, which may be the only one."""
    others = {name for name in tensors if not name.startswith(_DIFFUSION)}
    if any(name.startswith(_CONTROL) for name in others):  # loads as both
        return "Unknown"
    return "Checkpoint" if any(name.startswith(_PARTS) for name in others) else "DiffusionModel"


def _has_any(tensors: Tensors, signs: Iterable[tuple[str, ...]]) -> bool:
    return any(all(name in tensors for name in sign) for sign in signs)


def _is_language_model(tensors: Tensors) -> bool:
    """Whether it is one of those that serve as text encoders, and has no part that such a one does not have."""
    return "model.layers.0.self_attn.k_proj.weight" in tensors and all(map(_LANGUAGE.match, tensors))


def _is_embedding(tensors: Tensors) -> bool:
    """Whether it is a textual inversion: for each text encoder, some rows as wide as its tokens."""
    rows = all(len(tensor.shape) in {1, 2} and tensor.shape[-1] in _TOKEN_WIDTHS for tensor in tensors.values())
    return bool(tensors) and rows and (tensors.keys() == {"emb_params"} or tensors.keys() <= {"clip_l", "clip_g"})


_DIFFUSION = "model.diffusion_model."
_PARTS = ("first_stage_model.", "vae.", "cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.")
_CONTROL = "control_model."

_ADAPTER = re.compile(
    r"""[._](?:
    (?P<matrix>lora[._](?:up|down|mid|A|B)(?:\.default(?:_\d+)?)?(?:\.weight)?|lora_linear_layer\.(?:up|down)\.weight
    |hada_[wt][12](?:_[ab])?|lokr_[wt][12](?:_[ab])?|oft_blocks)
    |alpha|dora_scale|rescale|reshape_weight|diff|diff_b|w_norm|b_norm|set_weight)$""",
    re.VERBOSE,
)
"""Ends of names in files that change the weights of another file."""

_CONTROL_NETS = (
    ("controlnet_cond_embedding.conv_in.weight",),
    ("control_model.zero_convs.0.0.weight",),
    ("zero_convs.0.0.weight", "input_hint_block.0.weight"),
    ("controlnet_blocks.0.weight",),
    ("controlnet_blocks.0.linear.weight",),
    ("after_proj_list.18.bias",),
)

_SIGNS: dict[ModelKind, tuple[tuple[str, ...], ...]] = {
    "DiffusionModel": (
        ("input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight"),  # SD 1, SD 2, SDXL
        ("conv_in.weight", "time_embedding.linear_1.weight", "conv_out.weight"),  # the same as diffusers names it
        ("joint_blocks.0.context_block.attn.qkv.weight", "x_embedder.proj.weight"),  # SD 3
        ("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight"),  # FLUX, Chroma
        ("single_transformer_blocks.0.attn.norm_k.weight", "x_embedder.weight"),  # FLUX as diffusers names it
        ("txt_in.individual_token_refiner.blocks.0.norm1.weight", "img_in.proj.weight"),  # HunyuanVideo
        ("txt_norm.weight", "img_in.weight", "transformer_blocks.0.img_mlp.net.0.proj.weight"),  # Qwen-Image
        ("head.modulation", "patch_embedding.weight", "blocks.0.self_attn.q.weight"),  # Wan
        ("cap_embedder.1.weight", "x_embedder.weight", "layers.0.attention.qkv.weight"),  # Lumina 2, Z-Image
        ("caption_projection.0.linear.weight", "x_embedder.proj.weight"),  # HiDream
        ("adaln_single.emb.timestep_embedder.linear_1.bias", "patchify_proj.weight"),  # LTX-Video
        ("t_block.1.weight", "x_embedder.proj.weight"),  # PixArt
        ("t5_yproj.weight", "x_embedder.proj.weight"),  # Mochi
        ("mlp_t5.0.weight", "x_embedder.proj.weight"),  # HunyuanDiT
        ("double_layers.0.attn.w1q.weight", "cond_seq_linear.weight"),  # AuraFlow
        ("blocks.0.mlp.layer1.weight", "x_embedder.proj.1.weight"),  # Cosmos-Predict2
        ("net.blocks.block0.blocks.0.block.attn.to_q.0.weight", "net.x_embedder.proj.1.weight"),  # Cosmos
        ("time_caption_embed.timestep_embedder.linear_1.bias", "ref_image_patch_embedder.weight"),  # OmniGen 2
        ("genre_embedder.weight", "proj_in.early_conv_layers.0.weight"),  # ACE-Step
    ),
    "Vae": (
        ("decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight"),  # SD, FLUX
        ("decoder.conv_in.weight", "decoder.up_blocks.0.resnets.0.norm1.weight"),  # the same as diffusers names it
        ("decoder.conv_in.conv.weight",),  # HunyuanVideo
        ("decoder.middle.0.residual.0.gamma",),  # Wan, Qwen-Image
        ("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",),  # LTX-Video
        ("decoder.unpatcher3d.wavelets",),  # Cosmos
        ("decoder.blocks.2.blocks.3.stack.5.weight",),  # Mochi
        ("taesd_decoder.1.weight",),
    ),
    "TextEncoder": (
        ("text_model.encoder.layers.0.mlp.fc1.weight", "text_model.embeddings.token_embedding.weight"),  # CLIP
        ("encoder.block.0.layer.0.SelfAttention.k.weight", "shared.weight"),  # T5
    ),
    "ClipVision": (("vision_model.encoder.layers.0.layer_norm1.weight",),),
    "UpscaleModel": (
        ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"),  # ESRGAN
        ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"),  # the same, older
        ("conv_first.weight", "conv_after_body.weight", "layers.0.residual_group.blocks.0.norm1.weight"),  # SwinIR, HAT
    ),
}
"""Tensors that, all of them together, speak for a kind."""

_ENTIRE: dict[ModelKind, tuple[str, ...]] = {
    "ClipVision": ("vision_model.", "visual_projection.", "multi_modal_projector."),
}
"""Kinds that are parts of much else, and what else they may have."""

_LANGUAGE = re.compile(
    r"(?:model\.(?:layers\.\d+\.|embed_tokens\.|norm\.)|lm_head\.|(?:model\.)?visual\.|vision_model\.|"
    r"multi_modal_projector\.|spiece_model$|tekken_model$|scaled_fp8$|logit_scale$)"
)

_TOKEN_WIDTHS = frozenset({768, 1024, 1280})
"""Of the text encoders of SD 1, SD 2 and SDXL."""
