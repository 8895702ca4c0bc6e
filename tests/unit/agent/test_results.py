"""Results of every kind, with and without what ComfyUI embeds in them, and the receipt that goes with them."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfyard.api.generation_job import GenerationJob, Receipt
from tests.builders import SHA
from tests.unit.agent.harness import CLAIM, IMAGE, Studio

pytestmark = pytest.mark.api

MEDIA = Path(__file__).parents[1] / "outputs" / "media"


def media_inputs(studio: Studio) -> list[dict[str, Any]]:
    """A film and a sound on a claim."""
    folder = studio.agent.claims / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    names = {"film": "film.mp4", "song": "song.flac"}
    for name in names.values():
        shutil.copy(MEDIA / name, folder)
    return [{"parameter": parameter, "claim": {"name": "pictures", "path": name}} for parameter, name in names.items()]


def photo_inputs(studio: Studio, colour: str = "orange") -> list[dict[str, Any]]:
    folder = studio.agent.claims / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), colour).save(folder / "photo.png")
    place = {"claim": {"name": "pictures", "path": "photo.png"}}
    return [{"parameter": parameter, **place} for parameter in ("photo", "shape")]


def content(studio: Studio, job: GenerationJob, name: str) -> bytes:
    """What is stored of an output; it is what its record says."""
    [result] = [result for result in job.status.outputs if result.name == name]
    found = (studio.agent.results / result.uri.removeprefix(f"claim://{CLAIM}/")).read_bytes()
    assert (hashlib.sha256(found).hexdigest(), len(found)) == (result.sha256, result.bytes)
    return found


def receipt(job: GenerationJob) -> Receipt:
    assert job.status.state == "Complete", job.status.message
    assert job.status.receipt
    return job.status.receipt


async def test_a_picture_is_made_of_pictures(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(revision="t-photo", inputs=photo_inputs(studio))
    job = await studio.end_of_attempt()
    with Image.open(io.BytesIO(content(studio, job, "mask"))) as mask:
        assert mask.getpixel((0, 0)) == (255, 255, 255)  # the red of orange
    own = studio.prompt_id(uid)
    graph = (await studio.comfy("GET", f"/history/{own}"))[own]["prompt"][2]
    assert graph["20"]["inputs"]["image"] == f"{uid}/photo.png"
    assert not (studio.sim.base / "input" / uid).exists()


async def test_inputs_load_while_the_job_before_is_rendered(studio: Studio) -> None:
    studio.agent.start()
    first = await studio.order("first", prompt="[sim: step=0.2]", steps=15)
    await studio.until_rendering(studio.prompt_id(first))
    second = await studio.order("second", revision="t-photo", inputs=photo_inputs(studio))
    await studio.until_pending(studio.prompt_id(second))
    assert sorted(path.name for path in (studio.sim.base / "input" / second).iterdir()) == ["photo.png", "shape.png"]
    assert (await studio.end_of_attempt("second")).status.state == "Complete"


async def test_every_kind_of_result_is_stored(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="a lighthouse at dawn", revision="t-media", inputs=media_inputs(studio))
    job = await studio.end_of_attempt()
    told = {r.name: (r.uri.rpartition("/")[2], r.content_type, r.width, r.height) for r in job.status.outputs}
    assert told == {
        "moving": ("moving-000.webp", "image/webp", 64, 64),
        "latent": ("latent-000.latent", "application/octet-stream", None, None),
        "text": ("text-000.txt", "text/plain", None, None),
        "film": ("film-000.mp4", "video/mp4", 32, 16),
        "song": ("song-000.flac", "audio/flac", None, None),
    }
    assert content(studio, job, "text") == b"a lighthouse at dawn"
    assert content(studio, job, "film") == (MEDIA / "film.mp4").read_bytes()
    assert content(studio, job, "song") == (MEDIA / "song.flac").read_bytes()


async def test_the_graph_is_embedded_unless_it_is_not_wanted(studio: Studio) -> None:
    studio.agent.start()
    inputs = media_inputs(studio)
    await studio.order("kept", prompt="a SECRET lighthouse", revision="t-media", inputs=inputs)
    strip = {"metadata": "Strip"}
    await studio.order("stripped", prompt="a SECRET lighthouse", revision="t-media", inputs=inputs, output=strip)
    kept, stripped = await studio.end_of_attempt("kept"), await studio.end_of_attempt("stripped")
    names = ("moving", "latent", "film", "song")
    assert all(b"SECRET" in content(studio, kept, name) for name in names)
    assert not any(b"SECRET" in content(studio, stripped, name) for name in names)
    assert frames(content(studio, kept, "moving")) == frames(content(studio, stripped, "moving"))
    assert content(studio, kept, "latent")[-64:] == content(studio, stripped, "latent")[-64:]


async def test_a_stripped_picture_has_the_same_pixels(studio: Studio) -> None:
    studio.agent.start()
    await studio.order("kept", prompt="a SECRET lighthouse")
    await studio.order("stripped", prompt="a SECRET lighthouse", output={"metadata": "Strip"})
    kept = content(studio, await studio.end_of_attempt("kept"), "image")
    stripped = content(studio, await studio.end_of_attempt("stripped"), "image")
    assert json.loads(png_text(kept)["prompt"])["6"]["inputs"]["text"] == "a SECRET lighthouse"
    assert png_text(stripped) == {}
    assert b"SECRET" not in stripped
    assert frames(kept) == frames(stripped)


def png_text(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data)) as picture:
        return {str(key): value for key, value in picture.info.items() if isinstance(value, str)}


def frames(data: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(data)) as picture:
        count = getattr(picture, "n_frames", 1)
        found = []
        for number in range(count):
            picture.seek(number)
            found.append(picture.convert("RGB").tobytes())
        return found


async def test_the_receipt_says_what_was_rendered_with_what(studio: Studio) -> None:
    studio.agent.start()
    inputs = photo_inputs(studio)
    photo = (studio.agent.claims / "pictures" / "photo.png").read_bytes()
    models = [{"path": "checkpoints/sd15.safetensors", "sha256": SHA}]
    before = {"template": "sha256:t-photo", "models": models, "server": {"image": "comfyui@sha256:12"}}
    await studio.order(revision="t-photo", inputs=inputs, status={"receipt": before})
    found = receipt(await studio.end_of_attempt())
    assert found.to_api() == {
        **before,
        "graph": found.graph,
        "nodes": [],
        "inputs": [
            {"parameter": name, "sha256": hashlib.sha256(photo).hexdigest(), "bytes": len(photo)}
            for name in ("photo", "shape")
        ],
        "server": {"image": "comfyui@sha256:12", "comfyui": "0.3.64", "gpu": found.server.gpu if found.server else ""},
        "outputsReused": False,
    }
    assert found.graph.startswith("sha256:")
    assert found.server
    assert found.server.gpu.startswith("cuda:0 ")


async def test_the_image_is_the_pods_where_its_digest_is_not_known(studio: Studio) -> None:
    studio.agent.start()
    await studio.order()
    found = receipt(await studio.end_of_attempt())
    assert found.template == "sha256:t-1"
    assert found.server
    assert found.server.image == IMAGE


async def test_two_renders_from_one_receipt_are_equal(studio: Studio) -> None:
    studio.agent.start()
    inputs = photo_inputs(studio)
    await studio.order("first", revision="t-photo", inputs=inputs, count=2)
    first = await studio.end_of_attempt("first")
    with studio.restarted_sim():  # nothing is left in a cache
        await studio.order("again", revision="t-photo", inputs=inputs, count=2)
        again = await studio.end_of_attempt("again")
    assert receipt(first) == receipt(again)
    assert not receipt(again).outputs_reused
    pictures = [
        [pixels(studio, result.uri) for result in job.status.outputs if result.name == "image"]
        for job in (first, again)
    ]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 2


def pixels(studio: Studio, uri: str) -> list[bytes]:
    return frames((studio.agent.results / uri.removeprefix(f"claim://{CLAIM}/")).read_bytes())


async def test_another_input_makes_another_receipt(studio: Studio) -> None:
    studio.agent.start()
    await studio.order("first", revision="t-photo", inputs=photo_inputs(studio))
    first = receipt(await studio.end_of_attempt("first"))
    await studio.order("second", revision="t-photo", inputs=photo_inputs(studio, "teal"))
    second = receipt(await studio.end_of_attempt("second"))
    assert (first.graph, first.server) == (second.graph, second.server)
    assert first.inputs != second.inputs


async def test_what_came_out_of_the_cache_is_told(studio: Studio) -> None:
    studio.agent.start()
    await studio.order("first")
    first = await studio.end_of_attempt("first")
    await studio.order("second")
    second = await studio.end_of_attempt("second")
    assert (receipt(first).outputs_reused, receipt(second).outputs_reused) == (False, True)
    assert [(line["nodes"], line["steps"]) for line in await studio.record()][1] == (["9"], 0)
    assert first.status.outputs[0].uri != second.status.outputs[0].uri
    assert pixels(studio, first.status.outputs[0].uri) == pixels(studio, second.status.outputs[0].uri)
