"""What a model file is, by its header."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelKind
from comfyard.store.contents.kinds import Weights, kind_of, weights_of
from comfyard.store.contents.safetensors import read
from comfyard.store.store import Store
from tests.unit.store import headers
from tests.unit.store.headers import model_file
from tests.unit.store.volume import PATH, put, recover, want, write

FAMILIES: list[tuple[ModelKind, tuple[str, ...]]] = [
    ("Checkpoint", headers.CHECKPOINT_SDXL),
    ("DiffusionModel", headers.UNET),
    ("DiffusionModel", tuple(f"model.diffusion_model.{name}" for name in headers.UNET)),
    ("DiffusionModel", headers.FLUX),
    ("DiffusionModel", (*headers.FLUX, "scaled_fp8")),
    ("DiffusionModel", headers.QWEN_IMAGE),
    ("DiffusionModel", headers.WAN),
    ("DiffusionModel", headers.SD3),
    ("DiffusionModel", headers.HUNYUAN_VIDEO),
    ("DiffusionModel", headers.LTX_VIDEO),
    ("DiffusionModel", headers.LUMINA2),
    ("DiffusionModel", headers.HIDREAM),
    ("Checkpoint", (*(f"model.diffusion_model.{n}" for n in headers.LTX_VIDEO), "vae.decoder.conv_in.weight")),
    ("Vae", headers.LTX_VAE),
    ("Vae", headers.VAE),
    ("Vae", headers.WAN_VAE),
    ("TextEncoder", headers.CLIP),
    ("TextEncoder", headers.T5),
    ("TextEncoder", headers.QWEN_VL),
    ("ClipVision", headers.CLIP_VISION),
    ("Lora", headers.LORA_KOHYA),
    ("Lora", headers.LORA_DIFFUSERS),
    ("Lora", headers.LOKR),
    ("ControlNet", headers.CONTROL_NET),
    ("ControlNet", headers.CONTROL_NET_DIFFUSERS),
    ("ControlNet", headers.CONTROL_NET_FLUX),
    ("ControlNet", ("lora_controlnet", "input_blocks.0.0.weight", "input_blocks.0.0.up", "input_blocks.0.0.down")),
    ("UpscaleModel", headers.ESRGAN),
]


def kind(*names: str, shape: tuple[int, ...] = (2, 3)) -> ModelKind:
    content = model_file(*names, shape=shape)
    return kind_of(read(BytesIO(content), len(content)))


@pytest.mark.parametrize(("expected", "names"), FAMILIES, ids=[f"{each[0]} {each[1][0]}" for each in FAMILIES])
def test_families(expected: ModelKind, names: tuple[str, ...]) -> None:
    assert kind(*names) == expected


@pytest.mark.parametrize(("names", "width"), [(["emb_params"], 768), (["emb_params"], 1024), (["clip_l"], 768)])
def test_an_embedding_is_known_by_its_width(names: list[str], width: int) -> None:
    assert kind(*names, shape=(4, width)) == "Embedding"
    assert kind(*names, shape=(4, 99)) == "Unknown"
    assert kind(*names, shape=()) == "Unknown"


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("weight",),
        headers.IP_ADAPTER,
        (*headers.CLIP, *headers.CLIP_VISION),  # loads as either
        (*headers.CONTROL_NET, *headers.CHECKPOINT_SDXL),  # likewise
        (*headers.FLUX, *headers.T5),  # two things without the prefixes of a checkpoint
        (*headers.FLUX, "single_blocks.0.linear1.lora_down", "single_blocks.0.linear1.lora_up"),  # quantised by SVD
        (*headers.QWEN_VL, "time_embed.0.weight"),  # a language model that draws
        (*headers.CLIP_VISION, "image_proj.proj.weight"),
        ("pipe.decoder.alpha", "pipe.encoder.alpha"),  # audio codecs have such activations
        tuple(f"first_stage_model.{name}" for name in headers.VAE),
        headers.CONTROL_NET_DIFFUSERS[:1],
    ],
)
def test_what_is_not_certain_is_not_said(names: tuple[str, ...]) -> None:
    assert kind(*names) == "Unknown"


@given(st.sampled_from(FAMILIES), st.sampled_from(FAMILIES))
def test_two_kinds_in_one_file_are_never_taken_for_a_third(
    one: tuple[ModelKind, tuple[str, ...]], other: tuple[ModelKind, tuple[str, ...]]
) -> None:
    both = kind(*dict.fromkeys((*one[1], *other[1])))
    assert both in {one[0], other[0], "Unknown"}


def test_weights_are_counted_by_what_they_are_for(tmp_path: Path) -> None:
    file = tmp_path / "x"
    vae = "first_stage_model.decoder.conv_in.weight:F32"
    file.write_bytes(model_file("model.diffusion_model.a", "model.diffusion_model.b", vae))
    assert weights_of("checkpoints/x.safetensors", file) == Weights("Checkpoint", 2 * 12 + 24, 24, "F16")
    file.write_bytes(model_file(*headers.FLUX, "bias:F32", dtype="F8_E4M3"))
    assert weights_of("diffusion_models/x.sft", file) == Weights("DiffusionModel", 8 * 6 + 24, None, "F8_E4M3")


def test_other_formats_tell_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(model_file(*headers.CHECKPOINT_SDXL))
    assert weights_of("upscale_models/x.pth", file) == Weights()
    file.write_bytes(b"what came when less was checked")
    assert weights_of("checkpoints/x.safetensors", file) == Weights()
    file.write_bytes(model_file())
    assert weights_of("checkpoints/x.safetensors", file) == Weights("Unknown", 0)


def test_a_file_that_others_put_there_tells_what_it_is_at_once_and_after_a_restart(store: Store) -> None:
    content = model_file(*headers.CHECKPOINT_SDXL)
    write(store, PATH, content)
    stored = recover(store, want(content))
    assert stored
    assert stored.weights == Weights("Checkpoint", 6 * 12, 3 * 12, "F16")
    assert Store(store.layout.root).settle(want(content)) == stored


def test_what_a_content_is_does_not_depend_on_the_folder(store: Store) -> None:
    lora = model_file(*headers.LORA_KOHYA)
    stored = put(store, lora, "loras/x.safetensors", "checkpoints/x.safetensors")
    assert stored.weights.kind == "Lora"
