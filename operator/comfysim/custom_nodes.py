"""Custom nodes: packages of node classes that ComfyUI imports at its start, and goes on without when it cannot.

What is imported is really run, so a package fails here for the same reasons as there, also for want of torch. Only
classes with NODE_CLASS_MAPPINGS are known, not those of comfy_entrypoint.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfysim.nodes import NODES, NodeContext, NodeOutput

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from comfysim.folder_paths import FolderPaths
    from comfysim.node_catalog import NodeCatalog

log = logging.getLogger("comfysim")


def import_custom_nodes(args: argparse.Namespace, folders: FolderPaths, catalog: NodeCatalog) -> None:
    """Imports every package of every custom_nodes directory, in the order of the directory's listing.

    Args:
        args: ComfyUI's arguments.
        folders: With the directories; one that is not there is passed over.
        catalog: Where the classes go; a class of ComfyUI's own cannot be replaced.
    """
    own = frozenset(catalog.classes)
    times: list[tuple[float, str, bool]] = []
    for directory in filter(os.path.isdir, folders.folders["custom_nodes"].paths):
        for name in os.listdir(directory):  # noqa: PTH208 - its order is ComfyUI's
            path = Path(directory, name)
            if name == "__pycache__" or name.endswith(".disabled") or (path.is_file() and path.suffix != ".py"):
                continue
            if args.disable_all_custom_nodes and name not in args.whitelist_custom_nodes:
                log.info("Skipping %s due to disable_all_custom_nodes and whitelist_custom_nodes", name)
                continue
            begun = time.perf_counter()
            imported = _import(path, own, catalog)
            times.append((time.perf_counter() - begun, str(path), imported))
    if times:
        log.info("\nImport times for custom nodes:")
        for seconds, shown, imported in sorted(times):
            log.info("%6.1f seconds%s: %s", seconds, "" if imported else " (IMPORT FAILED)", shown)
        log.info("")


def _import(path: Path, own: frozenset[str], catalog: NodeCatalog) -> bool:
    """Imports one package or file; whether it could be. What ends the process, such as SystemExit, ends it."""
    try:
        mappings = getattr(_module(path), "NODE_CLASS_MAPPINGS", None)
        if mappings is None:
            log.warning(
                "Skip %s module for custom nodes due to the lack of NODE_CLASS_MAPPINGS or NODES_LIST (need one).", path
            )
            return False
        for name, node_class in mappings.items():
            if name not in own:
                catalog.add(name, _facts(node_class, f"custom_nodes.{path.stem if path.is_file() else path.name}"))
                NODES.functions[name] = _Function(node_class)
    except Exception as error:  # noqa: BLE001 - whatever somebody's code raises
        log.warning("%s", traceback.format_exc())
        log.warning("Cannot import %s module for custom nodes: %s", path, error)
        return False
    return True


def _module(path: Path) -> ModuleType:
    name = str(path).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, path if path.is_file() else path / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _facts(node_class: Any, module: str) -> dict[str, Any]:  # noqa: ANN401 - somebody's class
    """What the catalogue keeps of a class, from its class attributes."""
    given = node_class.INPUT_TYPES()
    kinds = tuple(node_class.RETURN_TYPES)
    names = tuple(getattr(node_class, "RETURN_NAMES", kinds))
    facts: dict[str, Any] = {
        "mod": module,
        "cat": getattr(node_class, "CATEGORY", "sd"),
        "req": {name: _input(entry) for name, entry in given.get("required", {}).items()},
        "out": [[kind, name] for kind, name in zip(kinds, names, strict=True)],
        "output_node": bool(getattr(node_class, "OUTPUT_NODE", False)),
    }
    for short, group in (("opt", "optional"), ("hid", "hidden")):
        if group in given:
            facts[short] = {n: e if short == "hid" else _input(e) for n, e in given[group].items()}
    return facts


def _input(entry: Any) -> list[Any]:  # noqa: ANN401 - (type,), (type, options), or choices in the type's place
    kind, *options = entry
    if isinstance(kind, list | tuple):
        return ["ENUM", {**(options[0] if options else {}), "options": list(kind)}]
    return [kind, *options]


class _Function:
    """What runs a class: a new instance's method of the name that the class gives."""

    def __init__(self, node_class: Any) -> None:  # noqa: ANN401 - somebody's class
        self._class = node_class

    def __call__(self, ctx: NodeContext, **inputs: Any) -> NodeOutput:  # noqa: ANN401 - whatever it takes
        del ctx
        made = getattr(self._class(), self._class.FUNCTION)(**inputs)
        if isinstance(made, dict):
            return NodeOutput(tuple(made.get("result", ())), made.get("ui"))
        return NodeOutput(tuple(made or ()))
