from __future__ import annotations

import datetime as dt
import json

import pytest
from PIL import Image

from comfysim.render import Scene, render
from tests.unit.comfysim.harness import Client, Sim, flux, node, sd15, sdxl


async def test_the_png_has_the_asked_size(sim: Sim, client: Client) -> None:
    graph = sd15(seed=1)
    graph["5"] = node("EmptyLatentImage", width=200, height=136, batch_size=1)
    run = await client.run(graph)
    with Image.open(sim.output / "test" / run.files()[0]) as picture:
        assert (picture.format, picture.size) == ("PNG", (200, 136))


async def test_a_batch_makes_as_many_pictures_all_different(sim: Sim, client: Client) -> None:
    graph = sd15(seed=2)
    graph["5"] = node("EmptyLatentImage", width=64, height=64, batch_size=3)
    names = (await client.run(graph)).files()
    assert len({(sim.output / "test" / name).read_bytes() for name in names}) == 3


async def test_the_same_inputs_give_the_same_bytes(sim: Sim, client: Client) -> None:
    first = await client.run(sd15(seed=3))
    await client.free(free_memory=True)
    second = await client.run(sd15(seed=3))
    assert first.files() != second.files()
    assert _bytes(sim, first.files()[0]) == _bytes(sim, second.files()[0])


def test_another_seed_is_another_picture() -> None:
    scenes = [Scene("a boat", "", seed, 0, "m") for seed in range(20)]
    assert len({render(scene, 128, 128).tobytes() for scene in scenes}) == 20


def test_the_caption_shows_the_prompt() -> None:
    left, right = (render(Scene(text, "", 1, 0, "m"), 256, 256) for text in ("a boat", "a boot"))
    box = (0, 170, 256, 256)
    assert left.crop(box).tobytes() != right.crop(box).tobytes()


async def test_the_png_carries_the_graph_and_the_extra_information(sim: Sim, client: Client) -> None:
    run = await client.run(sd15(seed=4), extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
    with Image.open(sim.output / "test" / run.files()[0]) as picture:
        texts = {key: json.loads(value) for key, value in picture.info.items() if isinstance(value, str)}
    assert texts["prompt"] == run.history["prompt"][2]
    assert texts["workflow"] == {"id": "w"}


async def test_extra_pnginfo_that_is_no_object_fails_in_the_saving_node(client: Client) -> None:
    run = await client.run(sd15(seed=5), extra_data={"extra_pnginfo": "text"})
    kind, data = run.last_message
    assert (kind, data["node_id"], data["exception_type"]) == ("execution_error", "9", "TypeError")


async def test_metadata_can_be_left_out(other: Sim) -> None:
    async with Client(other) as client:
        run = await client.run(sd15(seed=20))
    with Image.open(other.output / "test" / run.files()[0]) as picture:
        assert "prompt" not in picture.info


async def test_counters_continue_after_what_lies_there(sim: Sim, client: Client) -> None:
    (sim.output / "counted").mkdir(parents=True)
    (sim.output / "counted" / "a_00041_.png").touch()
    assert (await client.run(sd15(seed=6, filename_prefix="counted/a"))).files() == ["a_00042_.png"]


async def test_placeholders_in_a_prefix_are_filled_in(client: Client) -> None:
    year = dt.datetime.now(tz=dt.UTC).astimezone().year
    run = await client.run(sd15(seed=7, filename_prefix="%year%-%width%x%height%"))
    assert run.files() == [f"{year}-64x64_00001_.png"]


async def test_a_prefix_cannot_leave_the_output_directory(client: Client) -> None:
    kind, data = (await client.run(sd15(seed=8, filename_prefix="../../out"))).last_message
    assert kind == "execution_error"
    assert "outside the output folder" in data["exception_message"]


async def test_a_preview_goes_to_temp(sim: Sim, client: Client) -> None:
    graph = sd15(seed=9)
    graph["9"] = node("PreviewImage", images=["8", 0])
    (entry,) = (await client.run(graph)).history["outputs"]["9"]["images"]
    assert entry["type"] == "temp"
    assert (sim.base / "temp" / entry["filename"]).is_file()


@pytest.mark.parametrize("graph", [flux(), sdxl()], ids=["flux", "sdxl"])
async def test_the_other_graphs_run(client: Client, graph: dict[str, dict[str, object]]) -> None:
    run = await client.run(graph)
    assert run.history["status"]["status_str"] == "success", run.history["status"]
    assert len(run.files()) == 1


async def test_sdxl_shares_its_steps_between_base_and_refiner(client: Client) -> None:
    graph = sdxl("two samplers")
    run = await client.run(graph)
    assert [(p["node"], p["max"]) for p in run.of("progress")] == [("10", 3)] * 3 + [("11", 1)]


async def test_a_picture_can_be_the_start_of_another(sim: Sim, client: Client) -> None:
    Image.new("RGB", (100, 80), "white").save(sim.base / "input" / "start.png")
    graph = sd15(seed=10)
    graph["1"] = node("LoadImage", image="start.png")
    graph["2"] = node("ImageScale", image=["1", 0], upscale_method="lanczos", width=128, height=0, crop="disabled")
    graph["5"] = node("VAEEncode", pixels=["2", 0], vae=["4", 2])
    graph["11"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="style.safetensors")
    graph["11"]["inputs"] |= {"strength_model": 0.8, "strength_clip": 1.0}
    graph["12"] = node("CLIPSetLastLayer", clip=["11", 1], stop_at_clip_layer=-2)
    graph["6"]["inputs"]["clip"] = ["12", 0]
    graph["3"]["inputs"] |= {"denoise": 0.5, "model": ["11", 0]}
    run = await client.run(graph)
    with Image.open(sim.output / "test" / run.files()[0]) as picture:
        assert picture.size == (128, 96)


async def test_a_latent_can_be_scaled_between_two_samplers(sim: Sim, client: Client) -> None:
    graph = sd15(seed=11)
    graph["20"] = node("LatentUpscale", samples=["3", 0], upscale_method="bilinear", width=128, height=128)
    graph["20"]["inputs"]["crop"] = "disabled"
    again = {**graph["3"]["inputs"], "latent_image": ["20", 0], "denoise": 0.4}
    graph["21"] = node("KSampler", **again)
    graph["8"]["inputs"]["samples"] = ["21", 0]
    run = await client.run(graph)
    with Image.open(sim.output / "test" / run.files()[0]) as picture:
        assert picture.size == (128, 128)


async def test_a_class_outside_of_the_set_is_valid_and_fails_when_run(client: Client) -> None:
    graph = sd15(seed=12)
    graph["13"] = node("ImageInvert", image=["8", 0])
    graph["9"]["inputs"]["images"] = ["13", 0]
    kind, data = (await client.run(graph)).last_message
    assert (kind, data["node_type"]) == ("execution_error", "ImageInvert")
    assert "does not execute ImageInvert" in data["exception_message"]


def _bytes(sim: Sim, name: str) -> bytes:
    return (sim.output / "test" / name).read_bytes()
