from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

import pytest

from comfysim.errors import SafetensorError
from comfysim.extra_config import load_extra_path_config
from comfysim.folder_paths import FolderPaths
from comfysim.model_management import ModelManager
from comfysim.safetensors import read_header
from tests.unit.comfysim.harness import SMALL, Client, Sim, make_base, sd15

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def checkpoint(base: Path, name: str) -> Path:
    return base / "models" / "checkpoints" / name


@pytest.fixture
def folders(tmp_path: Path) -> FolderPaths:
    return FolderPaths.make(str(make_base(tmp_path)))


def test_a_new_file_is_seen_without_a_restart(tmp_path: Path, folders: FolderPaths) -> None:
    assert "sub/new.ckpt" not in folders.get_filename_list("checkpoints")
    checkpoint(tmp_path, "sub/new.ckpt").touch()
    _age(checkpoint(tmp_path, "sub"), 5)
    assert "sub/new.ckpt" in folders.get_filename_list("checkpoints")


def test_a_directory_whose_time_stays_is_not_read_again(tmp_path: Path, folders: FolderPaths) -> None:
    _age(checkpoint(tmp_path, "sub"), 5)
    folders.get_filename_list("checkpoints")
    checkpoint(tmp_path, "sub/hidden.ckpt").touch()
    _age(checkpoint(tmp_path, "sub"), 5)
    assert "sub/hidden.ckpt" not in folders.get_filename_list("checkpoints")


def test_only_models_are_listed(tmp_path: Path, folders: FolderPaths) -> None:
    checkpoint(tmp_path, "readme.txt").touch()
    checkpoint(tmp_path, "UPPER.SAFETENSORS").touch()
    names = folders.get_filename_list("checkpoints")
    assert ("readme.txt" in names, "UPPER.SAFETENSORS" in names) == (False, True)


def test_models_saved_to_the_output_directory_are_found(tmp_path: Path, folders: FolderPaths) -> None:
    (tmp_path / "output" / "checkpoints").mkdir(parents=True)
    (tmp_path / "output" / "checkpoints" / "own.safetensors").touch()
    assert "own.safetensors" in folders.get_filename_list("checkpoints")


def test_legacy_directories_are_searched(tmp_path: Path, folders: FolderPaths) -> None:
    (tmp_path / "models" / "clip").mkdir()
    (tmp_path / "models" / "clip" / "old.safetensors").touch()
    assert "old.safetensors" in folders.get_filename_list("text_encoders")


def test_a_name_cannot_leave_its_folder(folders: FolderPaths) -> None:
    assert folders.get_full_path("checkpoints", "../loras/style.safetensors") is None


def extra(tmp_path: Path, text: str) -> str:
    path = tmp_path / "extra.yaml"
    path.write_text(text)
    return str(path)


def test_extra_paths_are_searched_after_the_own_ones(tmp_path: Path, folders: FolderPaths) -> None:
    text = "shared:\n  base_path: more\n  checkpoints: a\n  unet: |\n    b\n    c\n"
    load_extra_path_config(extra(tmp_path, text), folders)
    assert folders.folders["checkpoints"].paths[-1] == str(tmp_path / "more" / "a")
    assert folders.folders["diffusion_models"].paths[-2:] == [str(tmp_path / "more" / n) for n in "bc"]


def test_default_paths_go_first_the_last_line_before_the_others(tmp_path: Path, folders: FolderPaths) -> None:
    load_extra_path_config(extra(tmp_path, "s:\n  is_default: true\n  vae: |\n    a\n    b\n"), folders)
    assert folders.folders["vae"].paths[:2] == [str(tmp_path / "b"), str(tmp_path / "a")]


def test_an_unknown_key_makes_a_folder_for_every_file(tmp_path: Path, folders: FolderPaths) -> None:
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "a.ttf").touch()
    load_extra_path_config(extra(tmp_path, "s:\n  fonts: fonts\n"), folders)
    assert folders.get_filename_list("fonts") == ["a.ttf"]


def test_variables_are_expanded_in_the_base(
    tmp_path: Path, folders: FolderPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED", str(tmp_path / "shared"))
    load_extra_path_config(extra(tmp_path, "s:\n  base_path: $SHARED\n  loras: l\n"), folders)
    assert folders.folders["loras"].paths[-1] == str(tmp_path / "shared" / "l")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: data[:-1], "incomplete metadata, file not fully covered"),
        (lambda data: data + b"\0", "incomplete metadata, file not fully covered"),
        (lambda data: data[:5], "header too small"),
        (lambda data: data[:2000], "invalid header length"),
        (lambda data: struct.pack("<Q", 2**40) + data[8:], "header too large"),
        (lambda data: data[:8] + b"}" + data[9:], "invalid JSON in header"),
        (lambda data: data[:8] + b"\xff" + data[9:], "invalid UTF-8 in header"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes], text: str) -> None:
    path = checkpoint(make_base(tmp_path), "sd15.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SafetensorError, match=text):
        read_header(path)


async def test_a_truncated_model_fails_in_its_loader(sim: Sim, client: Client) -> None:
    path = checkpoint(sim.base, "short.safetensors")
    path.write_bytes(checkpoint(sim.base, "sd15.safetensors").read_bytes()[:-100])
    graph = sd15()
    graph["4"]["inputs"]["ckpt_name"] = "short.safetensors"
    _, data = (await client.run(graph)).last_message
    assert (data["exception_type"], data["node_id"]) == ("safetensors_rust.SafetensorError", "4")
    assert "incomplete metadata" in data["exception_message"]


async def test_a_model_that_vanished_after_the_submission_fails(sim: Sim, client: Client) -> None:
    path = checkpoint(sim.base, "brief.ckpt")
    path.write_bytes(b"x")
    await client.misbehave(step_seconds=0.05)
    busy = await client.submit(sd15(seed=5, steps=500))
    await client.started(busy)
    graph = sd15()
    graph["4"]["inputs"]["ckpt_name"] = "brief.ckpt"
    prompt_id = await client.submit(graph)
    path.unlink()
    await client.post("/interrupt", {"prompt_id": busy})
    await client.misbehave()
    _, data = (await client.follow(prompt_id)).last_message
    assert data["exception_type"] == "FileNotFoundError"
    assert data["exception_message"] == "Model in folder 'checkpoints' with filename 'brief.ckpt' not found.\n"


async def test_a_literal_instead_of_a_model_fails_when_run(client: Client) -> None:
    graph = sd15(seed=6)
    graph["3"]["inputs"]["model"] = "a model"
    _, data = (await client.run(graph)).last_message
    assert (data["exception_type"], data["node_id"]) == ("AttributeError", "3")


async def test_loading_takes_the_time_of_the_file_s_size(other: Sim) -> None:
    async with Client(other) as client:
        await client.run(sd15(seed=30))
        graph = sd15(seed=31)
        graph["4"]["inputs"]["ckpt_name"] = "sub/other.safetensors"
        run = await client.run(graph)
    assert _milliseconds(run.history) > SMALL / 200_000 * 1000


def test_a_loaded_model_is_not_loaded_again(tmp_path: Path) -> None:
    path = str(checkpoint(make_base(tmp_path), "sd15.safetensors"))
    models = ModelManager(1e6, 10**9)
    models.load(path)
    started = time.monotonic()
    models.begin_prompt({path})
    models.load(path)
    assert time.monotonic() - started < 0.05


def test_a_model_of_an_earlier_prompt_is_forgotten(tmp_path: Path) -> None:
    path = str(checkpoint(make_base(tmp_path), "sd15.safetensors"))
    models = ModelManager(0, 10**9)
    models.load(path)
    models.begin_prompt(set())
    assert models.free_vram() == 10**9


def test_with_an_lru_cache_models_stay_while_they_fit(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    paths = [str(checkpoint(base, name)) for name in ("sd15.safetensors", "sub/other.safetensors")]
    models = ModelManager(0, 100_000, keep_all=True)
    for path in paths:
        models.begin_prompt({path})
        models.load(path)
    assert list(models.loaded) == paths[1:]


def _milliseconds(entry: dict[str, dict[str, list[tuple[str, dict[str, int]]]]]) -> int:
    messages = entry["status"]["messages"]
    return messages[-1][1]["timestamp"] - messages[0][1]["timestamp"]


def _age(path: Path, seconds: int) -> None:
    """Sets a directory's time: equal for equal arguments, whatever the clock says."""
    os.utime(path, (1_700_000_000 + seconds, 1_700_000_000 + seconds))
