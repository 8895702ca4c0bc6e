from __future__ import annotations

import os
import signal
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest

from comfysim.__main__ import make_folders
from comfysim.cli_args import parse_args
from comfysim.settings import from_environ
from hack.cluster.process import free_port
from tests.unit.comfysim.harness import BOUND, READY, Client, make_base, popen, running, sd15

if TYPE_CHECKING:
    from pathlib import Path

    from comfysim.folder_paths import FolderPaths


def folders(base: Path, *args: str) -> FolderPaths:
    """What the process does with its directories; whatever this raises ends it with status 1."""
    return make_folders(parse_args(["--base-directory", str(base), *args]))


def test_a_quick_test_exits_0(tmp_path: Path) -> None:
    with popen(make_base(tmp_path), 0, "--quick-test-for-ci") as process:
        process.communicate(timeout=BOUND)
        assert process.returncode == 0


def test_every_flag_of_a_usual_deployment_is_taken() -> None:
    text = (
        "--listen --disable-auto-launch --disable-all-custom-nodes --whitelist-custom-nodes a b --disable-api-nodes "
        "--preview-method taesd --preview-size 256 --cache-lru 5 --max-upload-size 200 --cuda-device 0 --lowvram "
        "--reserve-vram 1.5 --disable-smart-memory --deterministic --fast fp16_accumulation --disable-mmap "
        "--force-fp16 --fp8_e4m3fn-unet --fp32-vae --use-pytorch-cross-attention --verbose DEBUG --log-stdout "
        "--dont-print-server --front-end-root x --multi-user --database-url sqlite:///x --extra-model-paths-config a b "
        "--extra-model-paths-config c --enable-cors-header"
    )
    args = parse_args(text.split())
    assert (args.listen, args.enable_cors_header) == ("0.0.0.0,::", "*")
    assert args.extra_model_paths_config == ["a", "b", "c"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--magic"],
        ["--port", "x"],
        ["--preview-method", "x"],
        ["--cache-none", "--cache-lru", "3"],
        ["--cpu", "--lowvram"],
        ["--user-directory", "/does/not/exist"],
    ],
)
def test_what_comfyui_does_not_take_exits_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_args(argv)
    assert exit_.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "error"),
    [(None, FileNotFoundError), ("", TypeError), ("s:\n  vae: [a, b]\n", AttributeError)],
    ids=["missing", "empty", "list"],
)
def test_extra_model_paths_that_end_the_process(tmp_path: Path, text: str | None, error: type[Exception]) -> None:
    path = tmp_path / "extra.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error):
        folders(make_base(tmp_path), "--extra-model-paths-config", str(path))


def test_a_file_beside_the_program_is_read_as_well(tmp_path: Path) -> None:
    (make_base(tmp_path) / "extra_model_paths.yaml").write_text("s:\n  vae: more\n")
    assert folders(tmp_path).folders["vae"].paths[-1] == str(tmp_path / "more")


def test_a_base_directory_needs_custom_nodes(tmp_path: Path) -> None:
    (make_base(tmp_path) / "custom_nodes").rmdir()
    with pytest.raises(FileNotFoundError):
        folders(tmp_path)


def test_a_temp_directory_that_cannot_be_made_ends_the_process(tmp_path: Path) -> None:
    (make_base(tmp_path) / "file").touch()
    with pytest.raises(NotADirectoryError):
        folders(tmp_path, "--temp-directory", str(tmp_path / "file" / "inside"))


def test_a_user_directory_that_cannot_be_made_ends_the_process(tmp_path: Path) -> None:
    (make_base(tmp_path) / "user").rmdir()
    (tmp_path / "user").touch()
    with pytest.raises(FileExistsError):
        folders(tmp_path)


def test_an_input_directory_that_cannot_be_made_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (make_base(tmp_path) / "file").touch()
    folders(tmp_path, "--input-directory", str(tmp_path / "file" / "inside"))
    assert "Failed to create input directory" in caplog.text


def test_without_a_place_for_temporary_files_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_base(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/does/not/exist"])
    with pytest.raises(FileNotFoundError, match="No usable temporary directory found"):
        folders(tmp_path)


def test_what_ends_the_start_is_status_1(tmp_path: Path) -> None:
    (make_base(tmp_path) / "custom_nodes").rmdir()
    with popen(tmp_path, 0) as process:
        _, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 1
        assert "FileNotFoundError" in errors


async def test_an_output_directory_that_cannot_be_made_fails_in_every_save(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with running(tmp_path, "--output-directory", str(tmp_path / "file" / "output")) as sim:
        async with Client(sim) as client:
            kind, data = (await client.run(sd15())).last_message
    assert (kind, data["node_id"]) == ("execution_error", "9")
    assert "[Errno 20]" in data["exception_message"]


def test_previews_of_an_earlier_process_are_removed_and_outputs_kept(tmp_path: Path) -> None:
    make_base(tmp_path)
    for name in ("temp/old.png", "elsewhere/temp/old.png", "output/old.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    folders(tmp_path, "--temp-directory", str(tmp_path / "elsewhere"))
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("old.png")]
    assert sorted(left) == ["output/old.png", "temp/old.png"]


async def test_sigint_ends_it_with_0_and_does_not_wait_for_a_running_prompt(tmp_path: Path) -> None:
    with running(tmp_path, COMFYSIM_STEP_SECONDS="600") as sim:
        async with Client(sim) as client:
            await client.submit(sd15())
            await client.until(lambda f: f["type"] == "executing" and f["data"]["node"] == "3")
            assert sim.end(signal.SIGINT) == 0
    assert not (tmp_path / "temp").exists()


def test_sigterm_has_its_default_action(tmp_path: Path) -> None:
    with running(tmp_path) as sim:
        assert sim.end(signal.SIGTERM) == -signal.SIGTERM
    assert (tmp_path / "temp").exists()


def test_the_port_opens_only_after_the_start_up(tmp_path: Path) -> None:
    port = free_port()
    with popen(make_base(tmp_path), port, COMFYSIM_STARTUP_SECONDS="0.4") as process:
        assert process.stderr is not None
        assert "a stand-in" in process.stderr.readline()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        while READY not in process.stderr.readline():
            pass
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == 0
        process.kill()


@pytest.mark.parametrize(
    "environ",
    [
        {"COMFYSIM_STEP_SECONDS": "slow"},
        {"COMFYSIM_STEP_SECONDS": "-1"},
        {"COMFYSIM_MISBEHAVE": "{"},
        {"COMFYSIM_MISBEHAVE": "[]"},
    ],
)
def test_settings_that_make_no_sense_are_named(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(environ))):
        from_environ(environ)


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYSIM_STEP_SECONDS", "")
    assert from_environ(os.environ).step_seconds == 0.1
