"""Samplers: the steps are waited for, counted and told, and can be interrupted in between."""

from __future__ import annotations

import dataclasses
import time

from comfysim import render
from comfysim.nodes.latents import scene_of
from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Conditioning, Guider, Latent, Model, Noise, Sampler, Sampling, Sigmas


def _sample(ctx: NodeContext, latent: Latent, sampling: Sampling) -> Latent:
    """Runs the steps of one pass.

    The flag is looked at between steps only, so that an interrupt comes late when steps are slow, as with a model.
    """
    runtime = ctx.runtime
    switches = runtime.misbehaviour
    seconds = switches.seconds_per_step(sampling.positive, runtime.settings.step_seconds)
    result = dataclasses.replace(latent, passes=(*latent.passes, sampling))
    scene = scene_of(result.passes, 0)
    size = latent.width, latent.height, latent.batch
    for step in range(1, sampling.steps + 1):
        switches.strike(sampling.positive, step, size, runtime.settings.vram_bytes)
        runtime.interrupt.throw_if_set()
        time.sleep(seconds)
        ctx.steps += 1
        picture = None
        if runtime.args.preview_method != "none":
            part = step / sampling.steps
            picture = render.preview(scene, latent.width, latent.height, part, runtime.args.preview_size)
        runtime.interrupt.throw_if_set()
        ctx.on_progress(ctx.node_id, step, sampling.steps, picture)
    return result


@NODES.node("KSampler")
def ksampler(  # noqa: PLR0913 - the class' inputs
    ctx: NodeContext,
    *,
    model: Model,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: float = 1.0,
) -> NodeOutput:
    """Samples; with denoise 0 there is nothing to do."""
    if denoise <= 0:
        return NodeOutput((latent_image,))
    notes = (f"{sampler_name} / {scheduler}", f"cfg {cfg:g}", *_guidance(positive), *_denoise(denoise))
    sampling = Sampling(model, positive.text, negative.text, seed, steps, notes, denoise)
    return NodeOutput((_sample(ctx, latent_image, sampling),))


@NODES.node("KSamplerAdvanced")
def ksampler_advanced(  # noqa: PLR0913 - the class' inputs
    ctx: NodeContext,
    *,
    model: Model,
    add_noise: str,
    noise_seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: int,
    end_at_step: int,
    return_with_leftover_noise: str,
) -> NodeOutput:
    """Samples a part of the steps, as SDXL's base and refiner share them."""
    del return_with_leftover_noise
    count = min(end_at_step, steps) - start_at_step
    if count <= 0:
        return NodeOutput((latent_image,))
    seed = 0 if add_noise == "disable" else noise_seed
    notes = (f"{sampler_name} / {scheduler}", f"cfg {cfg:g}")
    sampling = Sampling(model, positive.text, negative.text, seed, count, notes)
    return NodeOutput((_sample(ctx, latent_image, sampling),))


@NODES.node("RandomNoise")
def random_noise(ctx: NodeContext, noise_seed: int) -> NodeOutput:
    """Names a seed."""
    del ctx
    return NodeOutput((Noise(noise_seed),))


@NODES.node("KSamplerSelect")
def ksampler_select(ctx: NodeContext, sampler_name: str) -> NodeOutput:
    """Names a sampler."""
    del ctx
    return NodeOutput((Sampler(sampler_name),))


@NODES.node("BasicScheduler")
def basic_scheduler(ctx: NodeContext, model: Model, scheduler: str, steps: int, denoise: float) -> NodeOutput:
    """Makes a schedule; with denoise 0 it is empty."""
    del ctx
    if not model.name:
        raise RuntimeError("the model has no weights")
    return NodeOutput((Sigmas(steps if denoise > 0 else 0, scheduler, denoise),))


@NODES.node("BasicGuider")
def basic_guider(ctx: NodeContext, model: Model, conditioning: Conditioning) -> NodeOutput:
    """Joins a model and its conditioning."""
    del ctx
    return NodeOutput((Guider(model, conditioning),))


@NODES.node("SamplerCustomAdvanced")
def sampler_custom_advanced(
    ctx: NodeContext, noise: Noise, guider: Guider, sampler: Sampler, sigmas: Sigmas, latent_image: Latent
) -> NodeOutput:
    """Samples with separately made parts, as Flux graphs do."""
    if sigmas.steps == 0:
        return NodeOutput((latent_image, latent_image))
    positive = guider.positive
    notes = (f"{sampler.name} / {sigmas.scheduler}", *_guidance(positive), *_denoise(sigmas.denoise))
    sampling = Sampling(guider.model, positive.text, "", noise.seed, sigmas.steps, notes, sigmas.denoise)
    result = _sample(ctx, latent_image, sampling)
    return NodeOutput((result, result))


def _guidance(positive: Conditioning) -> tuple[str, ...]:
    return () if positive.guidance is None else (f"guidance {positive.guidance:g}",)


def _denoise(denoise: float) -> tuple[str, ...]:
    return () if denoise >= 1 else (f"denoise {denoise:g}",)
