import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from comfyard.cli import app
from comfysim.folder_paths import FolderPaths
from comfysim.node_catalog import NodeCatalog
from tests.doubles.serving import serving

WORKFLOW = {
    "version": 0.4,
    "nodes": [
        {"id": 1, "type": "LoadImage", "widgets_values": ["日の出.png", "image"], "outputs": []},
        {
            "id": 2,
            "type": "SaveImage",
            "widgets_values": ["out", 5],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 7}],
        },
    ],
    "links": [[7, 1, 0, 2, 0, "IMAGE"]],
}
GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "日の出.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
}
NOTE = "node 2 (SaveImage): 5 left out, as its class has no input for it here"


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(WORKFLOW), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def object_info(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return NodeCatalog(FolderPaths.make(str(tmp_path_factory.mktemp("base")))).all_object_info()


@pytest.fixture(scope="module")
def server(object_info: dict[str, Any]) -> Iterator[str]:
    routes = web.Application()

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(object_info)

    async def something_else(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    routes.router.add_get("/object_info", tell)
    routes.router.add_get("/page/object_info", something_else)
    with serving(routes) as [url]:
        yield url


def run(*args: object) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    done = CliRunner().invoke(app, ["convert", *map(str, args)])
    return done.exit_code, done.stdout, done.stderr.splitlines()


def test_the_graph_goes_to_standard_output_and_the_notes_beside_it(workflow: Path) -> None:
    code, out, errors = run(workflow)
    assert (code, json.loads(out), errors) == (0, GRAPH, [f"comfyard: {workflow}: {NOTE}"])
    assert "日の出" in out


def test_the_graph_goes_to_a_file(workflow: Path, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    assert run(workflow, "-o", path)[:2] == (0, "")
    assert json.loads(path.read_text(encoding="utf-8")) == GRAPH


@pytest.mark.parametrize("path", ["", "/", "/object_info"])
def test_a_server_tells_of_its_classes(workflow: Path, server: str, path: str) -> None:
    assert json.loads(run(workflow, "--object-info", f"{server}{path}")[1]) == GRAPH


def test_a_file_tells_of_classes(workflow: Path, object_info: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "object_info.json"
    path.write_text(json.dumps({"SaveImage": object_info["SaveImage"]}))
    code, out, errors = run(workflow, "--object-info", path)
    message = "the server does not have this class; it needs its custom node, or another version of ComfyUI"
    assert (code, out, errors) == (1, "", [f"comfyard: {workflow}: node 1 (LoadImage): {message}"])


def test_every_problem_is_told_and_how_to_know_more(workflow: Path) -> None:
    nodes = [{"id": 3, "type": "FaceDetailer"}, {"id": 4, "type": "Moondream"}]
    workflow.write_text(json.dumps(WORKFLOW | {"nodes": nodes, "links": []}))
    code, out, errors = run(workflow, "-o", workflow.with_name("graph.json"))
    assert (code, out, len(errors)) == (1, "", 3)
    assert errors[0].startswith(f"comfyard: {workflow}: node 3 (FaceDetailer): this class is not one of ComfyUI")
    assert errors[1].startswith(f"comfyard: {workflow}: node 4 (Moondream): ")
    assert errors[2] == "comfyard: with --object-info http://… a server tells what it knows of its nodes"
    assert not workflow.with_name("graph.json").exists()


def test_what_cannot_be_read_or_written(workflow: Path, server: str, tmp_path: Path) -> None:
    text = tmp_path / "text.json"
    text.write_text("words")
    cases = {
        (tmp_path / "none.json",): f"comfyard: {tmp_path}/none.json: No such file or directory",
        (text,): f"comfyard: {text} is not JSON: Expecting value: line 1 column 1 (char 0)",
        (workflow, "-o", tmp_path): f"comfyard: {tmp_path}: Is a directory",
        (workflow, "--object-info", workflow): f"comfyard: {workflow}: this is not an answer of ComfyUI",
        (workflow, "--object-info", f"{server}/page"): f"comfyard: {server}/page/object_info: the answer is not JSON",
        (workflow, "--object-info", f"{server}/no"): f"comfyard: {server}/no/object_info: the answer is 404 Not Found",
        (workflow, "--object-info", "http://127.0.0.1:1"): "comfyard: http://127.0.0.1:1/object_info: ",
    }
    for args, message in cases.items():
        code, out, errors = run(*args)
        assert (code, out) == (1, "")
        assert errors[-1].startswith(message)


def test_a_file_in_api_format_is_told_as_such(workflow: Path) -> None:
    workflow.write_text(json.dumps(GRAPH))
    expected = [f"comfyard: {workflow}: this workflow is in API format already; use it as it is"]
    assert run(workflow) == (1, "", expected)
