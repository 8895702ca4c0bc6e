"""What ComfyUI's log tells of custom nodes that it could not import."""

import pytest

from comfyard.comfyui.imports import FailedImport, failed_imports

HERE = "/comfyard/custom_nodes"
RAISED = f"""\
Traceback (most recent call last):
  File "/ComfyUI/nodes.py", line 2155, in load_custom_node
    module_spec.loader.exec_module(module)
  File "{HERE}/pack/__init__.py", line 1, in <module>
    import cv2
ModuleNotFoundError: No module named 'cv2'

Cannot import {HERE}/pack module for custom nodes: No module named 'cv2'
"""
SUMMARY = f"""\

Import times for custom nodes:
   0.0 seconds: {HERE}/good
   0.1 seconds (IMPORT FAILED): {HERE}/pack
   1.1 seconds (IMPORT FAILED): {HERE}/one_file.py

Starting server
"""


def test_what_was_raised_is_the_reason() -> None:
    found = failed_imports(RAISED)["pack"]
    assert found.reason == "ModuleNotFoundError: No module named 'cv2'"
    assert found.traceback[0] == "Traceback (most recent call last):"
    assert found.traceback[-3:] == (
        f'  File "{HERE}/pack/__init__.py", line 1, in <module>',
        "    import cv2",
        "ModuleNotFoundError: No module named 'cv2'",
    )


def test_the_summary_adds_what_has_no_reason() -> None:
    found = failed_imports(RAISED + SUMMARY)
    assert set(found) == {"pack", "one_file"}
    assert found["pack"].reason == "ModuleNotFoundError: No module named 'cv2'"
    assert found["one_file"] == FailedImport("its log does not say why")


def test_the_traceback_is_the_one_before_it() -> None:
    text = RAISED + RAISED.replace("pack", "other").replace("cv2", "dlib")
    found = failed_imports(text)
    assert [found[name].reason for name in ("pack", "other")] == [
        "ModuleNotFoundError: No module named 'cv2'",
        "ModuleNotFoundError: No module named 'dlib'",
    ]


def test_the_type_is_told_when_the_message_has_several_lines() -> None:
    text = RAISED.replace("ModuleNotFoundError: No", "ImportError: no GPU\nis here; No")
    assert failed_imports(text)["pack"].reason == "ImportError: no GPU"


def test_a_reason_without_a_traceback_is_what_it_was() -> None:
    text = f"Cannot import {HERE}/pack module for custom nodes: No module named 'cv2'\n"
    assert failed_imports(text) == {"pack": FailedImport("No module named 'cv2'")}


@pytest.mark.parametrize(
    "line",
    [
        f"Skip {HERE}/pack module for custom nodes due to the lack of NODE_CLASS_MAPPINGS or NODES_LIST (need one).",
        f"comfy_entrypoint in {HERE}/pack is not callable, skipping.",
        f"Error while calling comfy_entrypoint in {HERE}/pack: no such luck",
    ],
)
def test_what_is_no_package_of_nodes_has_failed(line: str) -> None:
    assert failed_imports(f"{line}\n{SUMMARY}")["pack"] == FailedImport(line)


def test_all_is_well() -> None:
    assert failed_imports("Import times for custom nodes:\n   0.0 seconds: /a/good\n") == {}
