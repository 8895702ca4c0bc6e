"""`comfyard lint`, by what it prints and how it ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from comfyard.cli import app
from comfyard.cli.lint import check_texts
from comfyard.workflow.object_info import core
from tests.broken import ALL, BUNDLE, JOB, TEMPLATE, Broken, lora, manifest, order, photo, sound, template_spec
from tests.builders import graph
from tests.conftest import ROOT

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write manifests to a file."""

    def write(*objects: dict[str, Any], name: str = "all.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.safe_dump_all(objects, sort_keys=False) if path.suffix == ".yaml" else json.dumps(objects[0])
        )
        return path

    return write


def lint(*arguments: str | Path, text: str = "") -> Result:
    return CliRunner().invoke(app, ["lint", *map(str, arguments)], input=text)


def lines(done: Result) -> list[str]:
    return [line for line in done.stdout.splitlines() if line]


def objects(*kinds: str) -> list[dict[str, Any]]:
    return [manifest(kind, "it", spec) for kind, spec in sound("it").items() if kind in kinds or not kinds]


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize("broken", ALL, ids=lambda broken: broken.told[:60])
def test_what_is_broken_is_told(broken: Broken) -> None:
    text = yaml.safe_dump_all(broken.manifests(), sort_keys=False)
    found = check_texts([("all.yaml", text)], core())
    assert [message for _, _, severity, message in found if severity == "Error" and broken.told in message], found


def test_nothing_is_said_of_what_is_sound(write: Write) -> None:
    done = lint(write(*objects()))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "1 files: 0 errors, 0 warnings\n")


def test_nothing_is_said_of_our_own() -> None:
    assert lines(lint(ROOT / "examples", ROOT / "hack" / "demo")) == []


def test_file_and_line_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    text = yaml.safe_dump_all(objects(BUNDLE, TEMPLATE), sort_keys=False)
    path.write_text(text.replace("cfg: 7.5", "cfg: high"))
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "cfg: 7.5" in line)
    done = lint(path)
    assert done.exit_code == 1
    assert lines(done) == [f'{path}:{number}: error: node 3 (KSampler), input cfg: "high" is no number']


def test_lines_come_in_the_order_of_files_and_lines(write: Write) -> None:
    first = write(manifest(JOB, "a", order(count=0, priority="x")), name="b.yaml")
    second = write(manifest(JOB, "b", order(count=0)), name="a.yaml")
    done = lint(first, second)
    assert [line.split(": ")[0] for line in lines(done)] == [f"{first}:12", f"{first}:13", f"{second}:12"]


def test_stdin_is_read() -> None:
    text = yaml.safe_dump(manifest(JOB, "a", order(count=0)))
    assert lines(lint("-", text=text)) == ["-:6: error: spec.count: 0 is less than 1"]


def test_a_folder_is_searched_for_what_is_ours(write: Write, tmp_path: Path) -> None:
    write(manifest(JOB, "a", order(count=0)), name="deep/down/a.yaml")
    write({"kind": "Deployment", "apiVersion": "apps/v1"}, name="b.yaml")
    (tmp_path / "broken.yaml").write_text("{{ not: ours")
    (tmp_path / "chart").mkdir()
    write({"apiVersion": "v2", "name": "chart"}, name="chart/Chart.yaml")
    (tmp_path / "chart" / "templates").mkdir()
    (tmp_path / "chart" / "templates" / "t.yaml").write_text("apiVersion: comfyard.io/v1alpha1\n{{ if .Values.x }}")
    assert lines(lint(tmp_path)) == [f"{tmp_path}/deep/down/a.yaml:12: error: spec.count: 0 is less than 1"]


def test_a_file_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    done = lint(tmp_path / "none.yaml")
    assert (done.exit_code, "none.yaml: No such file" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "2: error: this is not YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3\n", "3: error: key a is there twice; only one would count"),
        ("a: &x [*x]\n", "1: error: this is not YAML: it goes too deep, or holds itself"),
        ("a: .inf\n", "1: error: this is not YAML: .inf is no number of JSON"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    assert lines(lint(path)) == [f"{path}:{message}"]


def test_graphs_by_themselves_are_checked(write: Write) -> None:
    sound_graph = json.loads(json.dumps(graph()).replace('"{{seed}}"', "5").replace('"{{steps}}"', "9"))
    assert lines(lint(write(sound_graph, name="good.json"))) == []
    sound_graph["3"]["inputs"]["steps"] = 0
    path = write(sound_graph, name="bad.json")
    assert lines(lint(path)) == [
        f"{path}:1: error: node 3 (KSampler), input steps: 0 is less than 1, the least that it takes"
    ]
    path = write({"nodes": [], "links": []}, name="ui.json")
    assert "or run `comfyard convert` on what it saves" in lines(lint(path))[0]


def test_what_is_not_among_the_files_is_a_warning(write: Write) -> None:
    path = write(*objects(TEMPLATE))
    done = lint(path)
    assert done.exit_code == 0
    [line] = lines(done)
    assert ": warning: modelbundles.comfyard.io it is not among the files; not checked what it provides" in line
    done = lint(write(*objects(JOB)))
    assert done.exit_code == 0
    assert (
        ": warning: workflowtemplates.comfyard.io it is not among the files; not checked against it" in lines(done)[0]
    )


def test_a_class_that_nobody_can_know_is_a_warning_until_a_server_tells(write: Write, tmp_path: Path) -> None:
    changed = graph()
    changed["9"]["class_type"] = "SaveImageWithStyle"
    path = write(manifest(TEMPLATE, "it", template_spec(graph=changed)), *objects(BUNDLE))
    done = lint(path)
    assert done.exit_code == 0
    assert "warning: node 9: class SaveImageWithStyle is not known; it must come with the server's image" in done.stdout
    told = tmp_path / "object_info.json"
    told.write_text(json.dumps({"KSampler": {"input": {}, "output": [], "output_node": False}}))
    done = lint(path, "--object-info", told)
    assert done.exit_code == 1
    assert "error: node 9: no server has the class SaveImageWithStyle" in done.stdout


def test_object_info_that_is_none_is_a_mistake_of_usage(write: Write, tmp_path: Path) -> None:
    told = tmp_path / "object_info.json"
    told.write_text('{"a": 1}')
    done = lint(write(*objects()), "--object-info", told)
    assert done.exit_code == 2
    assert "not an answer of ComfyUI to GET /object_info" in done.stderr


def test_a_file_parameter_needs_its_file(write: Write) -> None:
    spec = photo()
    given = order(inputs=[{"parameter": "photo", "url": "https://host/a.png"}])
    assert lines(lint(write(*objects(BUNDLE), manifest(TEMPLATE, "it", spec), manifest(JOB, "a", given)))) == []
    done = lint(write(*objects(BUNDLE), manifest(TEMPLATE, "it", spec), manifest(JOB, "a", order())))
    assert "error: parameter photo (Image) needs a file; give it in spec.inputs" in done.stdout
    given = order(parameters={"prompt": "x", "photo": "a.png"})
    done = lint(write(*objects(BUNDLE), manifest(TEMPLATE, "it", spec), manifest(JOB, "a", given)))
    assert "error: parameter photo is a file (Image): give it in spec.inputs" in done.stdout


def test_a_tier_without_a_file_is_told_of_the_profile(write: Write) -> None:
    checkpoint = {"name": "checkpoint", "type": "Model", "byTier": {"High": "sd15.safetensors"}}
    changed = graph()
    changed["4"]["inputs"]["ckpt_name"] = "{{checkpoint}}"
    others = [each for each in template_spec()["parameters"] if each["name"] != "checkpoint"]
    spec = template_spec(graph=changed, parameters=[*others, checkpoint])
    whole = [
        manifest(TEMPLATE, "it", spec),
        *objects(BUNDLE, "HardwareProfile"),
        manifest(JOB, "a", order(profiles=["it"])),
    ]
    [line] = lines(lint(write(*whole)))
    assert "error: parameter checkpoint: has no file for profiles of tier Mid; give it in spec.parameters" in line


def test_a_graph_in_a_config_map_is_checked_where_it_is_there(write: Write) -> None:
    spec = template_spec(graph=None, graphFrom={"configMapKeyRef": {"name": "graphs", "key": "a.json"}})
    whole = [manifest(TEMPLATE, "it", spec), *objects(BUNDLE)]
    assert "warning: ConfigMap graphs is not among the files; its graph is not checked" in lint(write(*whole)).stdout
    text = json.dumps(graph())
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "graphs"}, "data": {"a.json": text}}
    assert lines(lint(write(*whole, kept))) == []
    kept["data"] = {"a.json": text.replace('"euler"', '"eular"').replace('"normal"', '"karas"')}
    [line] = lines(lint(write(*whole, kept)))
    assert '"karas" is not among its choices' in line


def test_lists_are_looked_into(write: Write) -> None:
    items = [*objects(BUNDLE), manifest(TEMPLATE, "it", lora("ink.safetensors"))]
    path = write({"apiVersion": "v1", "kind": "List", "items": items})
    [line] = lines(lint(path))
    assert "provides loras/ink.safetensors" in line


def test_objects_of_other_namespaces_are_others(write: Write) -> None:
    [bundle] = objects(BUNDLE)
    [template] = objects(TEMPLATE)
    bundle["metadata"]["namespace"], template["metadata"]["namespace"] = "a", "b"
    assert "modelbundles.comfyard.io it is not among the files" in lint(write(bundle, template)).stdout
    del template["metadata"]["namespace"]
    assert lines(lint(write(bundle, template))) == []


def test_an_unknown_kind_or_version_is_told(write: Write) -> None:
    wrong = {**objects(JOB)[0], "kind": "GenerationJobs", "apiVersion": "comfyard.io/v1"}
    told = lint(write(wrong)).stdout
    assert "comfyard.io/v1 is not served; write comfyard.io/v1alpha1" in told
    assert "comfyard.io has no kind GenerationJobs; did you mean GenerationJob?" in told


def test_a_name_is_needed(write: Write) -> None:
    [job] = objects(JOB)
    job["metadata"] = {"labels": {"a": "b"}}
    assert "error: metadata has no name; give it metadata.name" in lint(write(job)).stdout
    job["metadata"] = {"generateName": "a-"}
    assert "error" not in lint(write(job)).stdout


def sweep(**more: Any) -> dict[str, Any]:
    return manifest("GenerationSweep", "s", {"jobTemplate": {"spec": order()}, **more})


def test_the_sets_of_a_sweep_are_checked(write: Write) -> None:
    whole = objects("HardwareProfile", BUNDLE, TEMPLATE)
    good = sweep(matrix=[{"parameter": "steps", "values": [1, 2]}])
    assert lines(lint(write(*whole, good))) == []
    [line] = lines(lint(write(*whole, sweep(matrix=[{"parameter": "steps", "values": [1, 99, 100]}]))))[:1]
    assert "error: jobs 2: parameter steps: 100 is greater than the maximum of 60" in line or "error: jobs 1:" in line
    assert "exactly one list of parameter sets must be set: matrix, sets" in lint(write(*whole, sweep())).stdout
