"""`comfyard run` and `comfyard rerun` beside a running operator; the tests play kubelet, store sync and agent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.control_plane import ControlPlane
from tests.api.conftest import SECONDS, WAIT, Studio
from tests.builders import SHA, template_spec
from tests.unit.agent.harness import Cable

pytestmark = pytest.mark.api

OTHER = "b" * 64
URI = "claim://comfyard-results/studio/lighthouse/image-000.png"
RENDERED = {"name": "image", "index": 0, "uri": URI, "sha256": SHA, "bytes": 7, "contentType": "image/png"}
SERVER = {"image": f"ghcr.io/x/comfyui@sha256:{SHA}", "comfyui": "0.3.64", "gpu": "cpu"}


@dataclass
class Shell:
    """A person's shell, in the studio's namespace."""

    studio: Studio
    kubeconfig: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command; it goes on."""
        process = subprocess.Popen(
            # As at a terminal: what shells start in the background does not hear SIGINT, nor do its children.
            ["env", "--default-signal=INT", sys.executable, "-m", "comfyard", *command, "-n", self.studio.namespace],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def order(self, *more: str) -> subprocess.Popen[str]:
        profile = ("--profile", self.studio.profile)
        return self.start("run", "-t", "text-to-image", "-p", "prompt=x", *profile, *more)

    def follow(self, name: str, *command: str) -> subprocess.Popen[str]:
        """Start a command that orders a job of that name, and wait until there is one."""
        process = self.start(*command) if command else self.order("--name", name)
        self.studio.kubectl("wait", "--for=create", WAIT, f"cgj/{name}")
        return process

    def __call__(self, *command: str) -> tuple[int, str, str]:
        """Run a command to its end: exit code, stdout, stderr."""
        return end(self.start(*command))


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.fixture
def shell(studio: Studio, control_plane: ControlPlane) -> Iterator[Shell]:
    shell = Shell(studio, control_plane.kubeconfig)
    yield shell
    for process in shell.started:
        process.kill()
        process.communicate()


def render(studio: Studio, name: str, **receipt: Any) -> None:
    """What an agent writes when it has rendered one picture."""
    studio.wait_assigned(name)
    told = {**studio.status(name)["receipt"], "graph": "sha256:g", "server": SERVER, **receipt}
    studio.patch_status("cgj", name, {"outputs": [RENDERED], "receipt": told})
    studio.complete(name)


def test_an_order_is_followed_to_its_end(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    following = shell.follow("lighthouse")
    studio.start_server()
    render(studio, "lighthouse")
    code, out, err = end(following)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"job lighthouse created in namespace {studio.namespace}"
    assert any(line.startswith("lighthouse: Assigned: ") for line in lines)
    assert lines[-2].startswith("lighthouse: Complete")
    assert lines[-1] == URI
    assert studio.get("cgj", "lighthouse")["spec"]["parameters"] == {"prompt": "x"}


def test_a_job_that_fails_fails_the_command(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    following = shell.follow("lighthouse")
    studio.start_server()
    studio.wait_assigned("lighthouse")
    studio.fail("lighthouse", "Invalid", "node 3: no")
    code, _, err = end(following)
    assert (code, err) == (1, "comfyard: job lighthouse failed: node 3: no\n")


def test_a_job_that_is_deleted_is_told(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    following = shell.follow("lighthouse")
    studio.wait("cgj/lighthouse", ".status.state", "Queued")
    studio.kubectl("delete", "cgj", "lighthouse")
    assert end(following)[::2] == (1, "comfyard: job lighthouse was deleted, which stops it\n")


def test_an_interrupted_command_leaves_the_job_and_says_how_to_stop_it(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    following = shell.follow("lighthouse")
    assert following.stdout
    while "Queued" not in (line := following.stdout.readline()):
        assert line
    following.send_signal(signal.SIGINT)
    code, _, err = end(following)
    stop = f"kubectl -n {studio.namespace} delete generationjobs.comfyard.io lighthouse"
    assert (code, err) == (130, f"comfyard: job lighthouse goes on; to stop it: {stop}\n")
    assert studio.status("lighthouse")["state"] == "Queued"


async def test_a_job_is_followed_through_an_outage_of_the_api_server(
    studio: Studio, shell: Shell, control_plane: ControlPlane, tmp_path: Path
) -> None:
    cable = Cable(int(control_plane.server.rpartition(":")[2]))
    await cable.plug()
    text = shell.kubeconfig.read_text().replace(control_plane.server, f"https://127.0.0.1:{cable.port}")
    shell.kubeconfig = tmp_path / "kubeconfig"
    shell.kubeconfig.write_text(text)
    await asyncio.to_thread(studio.prepare)
    following = await asyncio.to_thread(shell.follow, "lighthouse")
    assert following.stdout
    assert following.stderr
    while "Queued" not in (line := await asyncio.to_thread(following.stdout.readline)):
        assert line
    cable.pull()
    assert "the API server does not answer, trying again" in await asyncio.to_thread(following.stderr.readline)
    await asyncio.to_thread(studio.start_server)
    await asyncio.to_thread(render, studio, "lighthouse")
    await cable.plug()
    code, out, err = await asyncio.to_thread(end, following)
    cable.pull()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == URI


def test_programs_get_the_name_alone(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    code, out, err = end(shell.order("--no-wait", "-o", "name"))
    kind, _, name = out.strip().partition("/")
    assert (code, kind) == (0, "generationjob.comfyard.io")
    assert name.startswith("text-to-image-")
    assert err == f"job {name} created in namespace {studio.namespace}\n"
    assert studio.get("cgj", name)["spec"]["count"] == 1


def test_programs_get_the_finished_job(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    following = shell.order("--name", "lighthouse", "-o", "json")
    studio.kubectl("wait", "--for=create", WAIT, "cgj/lighthouse")
    studio.start_server()
    render(studio, "lighthouse")
    code, out, _ = end(following)
    assert code == 0
    assert json.loads(out)["status"]["outputs"] == [RENDERED]


def test_a_wrong_order_is_not_made(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    wrong = {
        ("-p", "stpes=3"): "unknown parameter stpes",
        ("-p", "steps=99"): "parameter steps: 99 is greater than the maximum of 60",
        ("--profile", "l40"): "hardwareprofiles.comfyard.io l40 not found",
        ("-i", "photo=photo.png"): "a file of this machine cannot be sent",
    }
    for more, message in wrong.items():
        code, _, err = end(shell.order(*more))
        assert code == 2
        assert message in err
    assert studio.kubectl("get", "cgj", "-o", "name") == ""


def test_a_template_that_is_not_there_or_wrong_is_told(studio: Studio, shell: Shell) -> None:
    studio.create_template(outputs=[{"name": "image", "node": "99"}])
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, "cwt/text-to-image")
    code, _, err = end(shell.order())
    assert code == 2
    assert err.startswith("comfyard: template text-to-image is not ready: ")
    code, _, err = shell("run", "-t", "text-to-imgae")
    assert code == 2
    assert f'"text-to-imgae" is not in namespace "{studio.namespace}" (there: text-to-image); create it' in err


def test_a_name_that_is_taken_is_told(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    assert end(shell.order("--name", "lighthouse", "--no-wait"))[0] == 0
    code, _, err = end(shell.order("--name", "lighthouse", "--no-wait"))
    assert code == 2
    assert f"generationjobs.comfyard.io lighthouse is in namespace {studio.namespace} already" in err


def prepare_first(studio: Studio) -> dict[str, Any]:
    """A finished job; returns it."""
    studio.prepare()
    studio.order("lighthouse", parameters={"prompt": "x"}, count=2, output={"metadata": "Strip"})
    studio.start_server()
    render(studio, "lighthouse")
    return studio.get("cgj", "lighthouse")


def test_a_rerun_gives_all_that_the_first_was_rendered_with(studio: Studio, shell: Shell) -> None:
    first = prepare_first(studio)
    following = shell.follow("again", "rerun", "lighthouse", "--name", "again")
    render(studio, "again")
    code, out, err = end(following)
    assert (code, err) == (0, "")
    assert "the files are the same as before, byte for byte" in out
    again = studio.get("cgj", "again")
    assert again["metadata"]["annotations"]["comfyard.io/rerun-of"] == "lighthouse"
    assert again["spec"]["parameters"] == {"prompt": "x", "steps": 20, "seed": first["status"]["seed"]}
    assert again["spec"]["count"] == 2
    for decided in ("seed", "parameters", "output", "receipt", "template"):
        assert again["status"][decided] == first["status"][decided]


def test_a_rerun_tells_in_what_it_came_out_different(studio: Studio, shell: Shell) -> None:
    prepare_first(studio)
    following = shell.follow("again", "rerun", "lighthouse", "--name", "again")
    studio.wait_assigned("again")
    told = {**studio.status("again")["receipt"], "graph": "sha256:g", "server": {**SERVER, "comfyui": "0.3.65"}}
    studio.patch_status("cgj", "again", {"outputs": [{**RENDERED, "sha256": OTHER}], "receipt": told})
    studio.complete("again")
    code, _, err = end(following)
    assert code == 0
    assert err == (
        "comfyard: ComfyUI was 0.3.64 and is 0.3.65\ncomfyard: not the same as those of job lighthouse: image-000.png\n"
    )


def test_a_rerun_needs_the_template_as_it_was(studio: Studio, shell: Shell) -> None:
    first = prepare_first(studio)
    studio.create_template(title="changed")
    studio.wait("cwt/text-to-image", ".status.observedGeneration", "2")
    code, _, err = shell("rerun", "lighthouse")
    assert code == 2
    assert "template text-to-image has changed since: its digest was sha256:" in err
    revision = first["status"]["template"]["revision"]
    studio.create_template(
        **json.loads(studio.kubectl("get", "controllerrevision", revision, "-o", "jsonpath={.data.spec}"))
    )
    studio.wait("cwt/text-to-image", ".status.observedGeneration", "3")
    assert shell("rerun", "lighthouse", "--no-wait")[0] == 0


def test_a_rerun_from_the_template_as_it_is(studio: Studio, shell: Shell) -> None:
    prepare_first(studio)
    studio.create_template(title="changed")
    studio.wait("cwt/text-to-image", ".status.observedGeneration", "2")
    assert shell("rerun", "lighthouse", "--latest", "--no-wait")[0] == 0
    parameters = [p for p in template_spec()["parameters"] if p["name"] != "steps"]
    graph = template_spec()["graph"]
    graph["3"]["inputs"]["steps"] = 3
    studio.create_template(parameters=parameters, graph=graph)
    studio.wait("cwt/text-to-image", ".status.observedGeneration", "3")
    code, _, err = shell("rerun", "lighthouse", "--latest", "--no-wait")
    assert code == 2
    assert "unknown parameter steps; the template has: prompt, seed" in err


def test_a_rerun_needs_the_models_as_they_were(studio: Studio, shell: Shell) -> None:
    prepare_first(studio)
    path = "checkpoints/sd15.safetensors"
    row = {"path": path, "state": "Ready", "sha256": OTHER, "size": 10, "bytes": 10}
    studio.create("ModelBundle", "sd15", {"models": [{"path": path, "source": {"http": {"url": "http://host/x"}}}]})
    studio.patch_status("cmb", "sd15", {"syncedGeneration": 2, "models": [row]})
    studio.wait("cmb/sd15", ".status.observedGeneration", "2")
    studio.wait_ready("cmb/sd15")
    changed = f"comfyard: {path} was sha256 {SHA} and is sha256 {OTHER}"
    code, _, err = shell("rerun", "lighthouse")
    assert code == 2
    assert err.startswith(f"{changed}: the bundles have changed since job lighthouse")
    code, _, err = shell("rerun", "lighthouse", "--force", "--no-wait")
    assert (code, err) == (0, f"{changed}\n")


def test_a_job_that_never_ran_cannot_be_rerun(studio: Studio, shell: Shell) -> None:
    studio.prepare()
    studio.order("a", parameters={"stpes": 3})
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    code, _, err = shell("rerun", "a")
    assert code == 2
    assert "job a has no receipt: it was given to no server; order with comfyard run" in err
