"""`comfyard render`, by what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from comfyard.cli import app
from tests.broken import BUNDLE, JOB, TEMPLATE, manifest, order, photo, sound_manifests, template_spec
from tests.conftest import ROOT

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "all.yaml"


def write(file: Path, *objects: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return file


def render(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["render", *map(str, arguments)])


def graph(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_job_is_rendered_with_its_values(file: Path) -> None:
    job = manifest(JOB, "it", order(parameters={"prompt": "a cat", "steps": 7, "seed": "18446744073709551615"}))
    done = render(write(file, *sound_manifests()[:3], job))
    found = graph(done)
    assert (found["3"]["inputs"]["steps"], found["3"]["inputs"]["seed"]) == (7, "18446744073709551615")
    assert found["6"]["inputs"]["text"] == "a cat, sharp"
    assert found["9"]["inputs"]["filename_prefix"] == f"{NOBODY}/0-0/9"
    assert done.stderr == ""


def test_values_of_the_command_line_go_first(file: Path) -> None:
    found = graph(render(write(file, *sound_manifests()), "-p", "steps=9", "-p", "prompt=a dog"))
    assert (found["3"]["inputs"]["steps"], found["6"]["inputs"]["text"]) == (9, "a dog, sharp")


def test_a_template_alone_needs_values_for_what_is_required(file: Path) -> None:
    path = write(file, manifest(TEMPLATE, "it", template_spec()))
    done = render(path)
    assert done.exit_code == 2
    assert "parameter prompt is required; give it in spec.parameters" in done.stderr
    done = render(path, "-p", "prompt=x")
    assert graph(done)["3"]["inputs"]["seed"] == "0"
    assert "no seed is given: 0 stands for the one that is drawn when a job is accepted" in done.stderr


def test_files_of_a_job_have_the_names_that_the_agent_gives_them(file: Path) -> None:
    job = manifest(JOB, "it", order(inputs=[{"parameter": "photo", "url": "https://host/a/b.PNG?x=1"}]))
    bundle = next(each for each in sound_manifests() if each["kind"] == BUNDLE)
    found = graph(render(write(file, bundle, manifest(TEMPLATE, "it", photo()), job)))
    assert found["10"]["inputs"]["image"] == f"{NOBODY}/photo.PNG"


def test_one_of_several_jobs_is_named(file: Path) -> None:
    jobs = [manifest(JOB, name, order(parameters={"prompt": name})) for name in ("a", "b")]
    path = write(file, *sound_manifests()[:3], *jobs)
    done = render(path)
    assert (done.exit_code, "name one of these jobs with --job: a, b" in done.stderr) == (2, True)
    assert graph(render(path, "--job", "b"))["6"]["inputs"]["text"] == "b, sharp"
    done = render(path, "--job", "c")
    assert (done.exit_code, "job c is not among the files; there: a, b" in done.stderr) == (2, True)


def test_what_lint_finds_wrong_is_not_rendered(file: Path) -> None:
    job = manifest(JOB, "it", order(parameters={"prompt": "x", "steps": 99}))
    done = render(write(file, *sound_manifests()[:3], job))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "parameter steps: 99 is greater than the maximum of 60" in done.stderr


def test_a_job_without_its_template_cannot_be_rendered(file: Path) -> None:
    done = render(write(file, manifest(JOB, "it", order())))
    assert (done.exit_code, "workflowtemplates.comfyard.io it is not among the files" in done.stderr) == (2, True)


def test_the_quickstart_is_rendered() -> None:
    found = graph(render(ROOT / "examples" / "quickstart"))
    assert found["6"]["inputs"]["text"] == "a lighthouse at dawn, oil on canvas"
