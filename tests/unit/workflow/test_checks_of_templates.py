"""The checks on ComfyUI's own workflows: no false alarm where all classes are known, and each finding explained.

The workflows are of 2026, what is known of the classes is ComfyUI 0.3.64's.
"""

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from comfyard.workflow.conversion.convert import ConversionError, convert
from comfyard.workflow.findings import Finding
from comfyard.workflow.object_info import Knowledge, core
from comfyard.workflow.templates import check_bare_graph

FOLDER = Path(str(files("comfyui_workflow_templates_json")))


@pytest.fixture(scope="module")
def graphs() -> dict[str, dict[str, object]]:
    """Those whose classes are all known, in the API's format, by file name."""
    found = {}
    for path in sorted(FOLDER.rglob("*.json")):
        workflow = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(workflow, dict) or "nodes" not in workflow:
            continue
        try:
            found[path.name] = convert(workflow, core()).graph
        except ConversionError:
            continue
    return found


def findings(graphs: dict[str, dict[str, object]], knowledge: Knowledge) -> list[Finding]:
    return [found for graph in graphs.values() for found in check_bare_graph(graph, knowledge)]


def kind(found: Finding) -> str:
    newer = re.search(r"input (\w+): .* is not among its choices", found.message)
    return f"newer {newer[1]}" if newer else "left out" if "are left out" in found.message else found.message


def test_there_is_no_error_and_each_warning_is_true(graphs: dict[str, dict[str, object]]) -> None:
    assert len(graphs) >= 100
    found = findings(graphs, core())
    assert [each.message for each in found if each.is_error] == []
    assert Counter(map(kind, found)) == {
        "left out": 5,  # nodes that the workflow's author has left lying about
        "newer model": 6,  # of paid services
        "newer model_name": 1,
        "newer model_version": 2,
        "newer reference_latents_method": 2,
        "newer type": 3,  # of text encoders: a model family of 2026
    }
