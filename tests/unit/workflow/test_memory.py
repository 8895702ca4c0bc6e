"""How much VRAM a graph needs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelStatus
from comfyard.workflow.memory import Estimate, estimate
from tests.builders import graph as sd15_graph

GB = 10**9
MIB = 2**20
LEAST = 400 * MIB + 858_993_459
"""What ComfyUI keeps free of weights at least: 400 MiB for others and 0.8 GiB to work with."""

SD15 = "checkpoints/sd15.safetensors"
FLUX = "diffusion_models/flux1-dev.safetensors"
T5 = "text_encoders/t5xxl_fp16.safetensors"
CLIP_L = "text_encoders/clip_l.safetensors"


def rows(*known: tuple[str, str, int, str], **more: Any) -> dict[str, ModelStatus]:
    return {
        path: ModelStatus.model_validate(
            {"path": path, "state": "Ready", "kind": kind, "tensorBytes": size, "dtype": dtype, **more}
        )
        for path, kind, size, dtype in known
    }


ROWS = rows(
    (FLUX, "DiffusionModel", 23_800_000_000, "BF16"), (T5, "TextEncoder", 9_787_000_000, "F16"),
    (CLIP_L, "TextEncoder", 246_000_000, "F16"), ("vae/ae.safetensors", "Vae", 335_000_000, "F32"),
    ("loras/turbo.safetensors", "Lora", 700_000_000, "BF16"),
)  # fmt: skip


def flux(width: Any = 1024, weight_dtype: str = "default") -> dict[str, Any]:
    """The loaders of a FLUX graph, and its latent."""
    clips = {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors", "type": "flux"}
    unet = {"unet_name": "flux1-dev.safetensors", "weight_dtype": weight_dtype}
    latent = {"width": width, "height": 1024, "batch_size": 1}
    return {
        "1": {"class_type": "UNETLoader", "inputs": unet},
        "2": {"class_type": "DualCLIPLoader", "inputs": clips},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "4": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], "lora_name": "turbo.safetensors"}},
        "5": {"class_type": "EmptySD3LatentImage", "inputs": latent},
    }


def test_the_largest_step_counts_not_the_sum() -> None:
    assert estimate(flux(), ROWS) == Estimate("sampling", (FLUX,), 23_800_000_000, LEAST)


def test_text_encoders_of_one_loader_are_there_together() -> None:
    needs = estimate(flux(weight_dtype="fp8_e4m3fn"), {**ROWS, **rows((FLUX, "DiffusionModel", 5 * GB, "F16"))})
    assert needs == Estimate("encoding the text", (CLIP_L, T5), 9_787_000_000 + 246_000_000, LEAST)


def test_of_a_checkpoint_only_the_diffusion_model_is_there_while_it_samples() -> None:
    whole = rows((SD15, "Checkpoint", 4_000_000_000, "F16"), diffusionBytes=1_720_000_000)
    assert estimate(sd15_graph(), whole) == Estimate("sampling", (SD15,), 1_720_000_000, LEAST)


@pytest.mark.parametrize(
    ("dtype", "told", "weights"),
    [
        ("BF16", "default", 23_800_000_000),
        ("F32", "default", 11_900_000_000),
        ("F8_E4M3", "default", 23_800_000_000),
        ("BF16", "fp8_e4m3fn", 11_900_000_000),
        ("F32", "fp8_e5m2", 5_950_000_000),
        ("F8_E4M3", "fp8_e4m3fn_fast", 23_800_000_000),
    ],
)
def test_weights_are_loaded_in_another_type(dtype: str, told: str, weights: int) -> None:
    needs = estimate(flux(weight_dtype=told), rows((FLUX, "DiffusionModel", 23_800_000_000, dtype)))
    assert needs
    assert needs.weights == weights


def test_models_that_follow_one_another_are_not_added_but_control_nets_are() -> None:
    graph = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "high.sft"}},
        "2": {"class_type": "UNETLoader", "inputs": {"unet_name": "low.sft"}},
        "3": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "canny.sft"}},
    }
    known = rows(
        ("diffusion_models/high.sft", "DiffusionModel", 14 * GB, "F8_E4M3"),
        ("diffusion_models/low.sft", "DiffusionModel", 15 * GB, "F8_E4M3"),
        ("controlnet/canny.sft", "ControlNet", 2 * GB, "F16"),
    )
    needs = estimate(graph, known)
    assert needs
    assert (needs.files, needs.weights) == (("diffusion_models/low.sft", "controlnet/canny.sft"), 17 * GB)


@pytest.mark.parametrize(
    ("class_type", "inputs", "latent_pixels"),
    [
        ("EmptyLatentImage", {"width": 1024, "height": 1024, "batch_size": 16}, 128 * 128 * 16),
        ("EmptyHunyuanLatentVideo", {"width": 848, "height": 480, "length": 73, "batch_size": 1}, 106 * 60 * 19),
        ("WanImageToVideo", {"width": "832", "height": 480, "length": 81, "batch_size": 1}, 104 * 60 * 21),
        ("EmptyLTXVLatentVideo", {"width": 3072, "height": 2048, "length": 97, "batch_size": 1}, 96 * 64 * 13),
    ],
)
def test_what_a_model_works_with_grows_with_the_latent(
    class_type: str, inputs: dict[str, Any], latent_pixels: int
) -> None:
    needs = estimate({**flux(), "5": {"class_type": class_type, "inputs": inputs}}, ROWS)
    assert needs
    assert needs.working == 400 * MIB + latent_pixels * (2 * MIB // 100)
    assert needs.working > LEAST


@pytest.mark.parametrize("width", [["7", 0], "{{width}}", None])
def test_a_size_that_is_not_known_counts_for_nothing(width: object) -> None:
    needs = estimate(flux(width=width), ROWS)
    assert needs
    assert needs.working == LEAST


def test_of_files_that_nothing_is_known_of_there_is_no_estimate() -> None:
    assert estimate(flux(), {}) is None
    assert estimate(flux(), rows((FLUX, "Unknown", 23_800_000_000, "BF16"))) is None
    pending = {FLUX: ModelStatus(path=FLUX, kind="DiffusionModel")}
    assert estimate(flux(), pending) is None


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_more_weights_never_need_less(one: int, more: int) -> None:
    small, large = (estimate(flux(), rows((FLUX, "DiffusionModel", size, "BF16"))) for size in (one, one + more))
    assert small
    assert large
    assert large.bytes - small.bytes == more
