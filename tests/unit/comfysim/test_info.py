from __future__ import annotations

import pytest

from tests.unit.comfysim.harness import SMALL, Client, Sim, sd15


async def test_all_classes_are_described(client: Client) -> None:
    classes = await client.get("/object_info")
    assert len(classes) == 496
    assert sum(info["output_node"] for info in classes.values()) == 34
    assert sum(info.get("api_node", False) for info in classes.values()) == 100


async def test_asking_for_the_classes_makes_a_folder(sim: Sim, client: Client) -> None:
    await client.get("/object_info")
    assert (sim.base / "input" / "3d").is_dir()


async def test_a_class_is_described_as_comfyui_does(client: Client) -> None:
    assert await client.get("/api/object_info/LoraLoaderModelOnly") == {
        "LoraLoaderModelOnly": {
            "input": {
                "required": {
                    "model": ["MODEL"],
                    "lora_name": [["style.safetensors"]],
                    "strength_model": ["FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}],
                }
            },
            "input_order": {"required": ["model", "lora_name", "strength_model"]},
            "output": ["MODEL"],
            "output_is_list": [False],
            "output_name": ["MODEL"],
            "name": "LoraLoaderModelOnly",
            "display_name": "LoraLoaderModelOnly",
            "description": "",
            "python_module": "nodes",
            "category": "loaders",
            "output_node": False,
        }
    }


async def test_hidden_inputs_are_listed(client: Client) -> None:
    info = (await client.get("/object_info/SaveImage"))["SaveImage"]
    assert info["input"]["hidden"] == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    assert info["input_order"]["hidden"] == ["prompt", "extra_pnginfo"]


async def test_enumerations_of_the_newer_way_are_options(client: Client) -> None:
    info = (await client.get("/object_info/SaveVideo"))["SaveVideo"]
    assert info["input"]["required"]["format"] == ["COMBO", {"default": "auto", "options": ["auto", "mp4"]}]


async def test_an_unknown_class_is_an_empty_object(client: Client) -> None:
    assert await client.get("/object_info/Magic") == {}


async def test_vae_approximations_are_listed_when_their_files_are_there(client: Client) -> None:
    info = (await client.get("/object_info/VAELoader"))["VAELoader"]
    assert info["input"]["required"]["vae_name"] == [["ae.safetensors", "pixel_space"]]


async def test_the_model_folders(client: Client) -> None:
    folders = await client.get("/models")
    assert {"checkpoints", "loras", "text_encoders", "diffusion_models"} <= set(folders)


async def test_a_model_folder_lists_relative_names(client: Client) -> None:
    assert await client.get("/models/checkpoints") == ["sd15.safetensors", "sub/other.safetensors"]


@pytest.mark.parametrize("folder", ["unet", "clip", "magic"])
async def test_legacy_and_unknown_folders_are_404(client: Client, folder: str) -> None:
    async with client.session.get(f"/models/{folder}") as response:
        assert response.status == 404


async def test_embeddings_have_no_extension(sim: Sim, client: Client) -> None:
    folder = sim.base / "models" / "embeddings"
    folder.mkdir(exist_ok=True)
    (folder / "bad-hands.pt").touch()
    assert await client.get("/embeddings") == ["bad-hands"]


async def test_the_metadata_of_a_model(client: Client) -> None:
    answer = await client.get("/view_metadata/checkpoints?filename=sd15.safetensors")
    assert answer["format"] == "pt"


@pytest.mark.parametrize("query", ["filename=none.safetensors", "filename=sd15.ckpt", ""])
async def test_no_metadata_is_404(client: Client, query: str) -> None:
    async with client.session.get(f"/view_metadata/checkpoints?{query}") as response:
        assert response.status == 404


async def test_the_pretended_card_is_reported_and_fills_up(client: Client) -> None:
    await client.run(sd15())
    stats = await client.get("/system_stats")
    (device,) = stats["devices"]
    assert (device["name"], device["type"], device["index"]) == ("cuda:0 comfysim pretend GPU : native", "cuda", 0)
    assert device["vram_total"] - device["vram_free"] == SMALL
    assert (stats["system"]["os"], stats["system"]["comfyui_version"]) == ("posix", "0.3.64")
    assert "--base-directory" in stats["system"]["argv"]


async def test_unloading_empties_the_card(client: Client) -> None:
    await client.run(sd15(seed=2))
    await client.free(unload_models=True)
    (device,) = (await client.get("/system_stats"))["devices"]
    assert device["vram_total"] == device["vram_free"]


async def test_on_a_processor_the_memory_is_the_machine_s(uncached: Sim) -> None:
    async with Client(uncached) as client:
        stats = await client.get("/system_stats")
    (device,) = stats["devices"]
    assert (device["name"], device["type"], device["index"]) == ("cpu", "cpu", None)
    assert device["vram_total"] == stats["system"]["ram_total"]


async def test_classes_for_paid_services_can_be_left_out(uncached: Sim) -> None:
    async with Client(uncached) as client:
        assert len(await client.get("/object_info")) == 396


async def test_the_name_and_size_of_the_card_can_be_chosen(other: Sim) -> None:
    async with Client(other) as client:
        (device,) = (await client.get("/system_stats"))["devices"]
    assert (device["name"], device["vram_total"]) == ("cuda:0 Pretend 9000 : native", 1_000_000_000)


async def test_features(client: Client) -> None:
    assert await client.get("/features") == {"supports_preview_metadata": True, "max_upload_size": 104857600}


async def test_the_log_can_be_read(client: Client) -> None:
    await client.run(sd15(seed=3))
    logs = await client.get("/internal/logs/raw")
    assert any("Prompt executed in" in entry["m"] for entry in logs["entries"])


@pytest.mark.parametrize("path", ["/api/jobs", "/api/internal/logs/raw", "/nothing"])
async def test_what_0_3_64_does_not_have_is_404(client: Client, path: str) -> None:
    async with client.session.get(path) as response:
        assert response.status == 404


async def test_a_plain_get_of_the_websocket_is_400(client: Client) -> None:
    async with client.session.get("/ws") as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("", "http://example.org", 403),
        ("service.namespace", "http://example.org", 200),
        ("", "", 200),
    ],
    ids=["loopback", "service", "no browser"],
)
async def test_the_origin_is_checked_for_loopback_hosts_only(
    client: Client, host: str, origin: str, status: int
) -> None:
    headers = {key: value for key, value in (("Host", host), ("Origin", origin)) if value}
    async with client.session.get("/prompt", headers=headers) as response:
        assert response.status == status
