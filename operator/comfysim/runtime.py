"""What every part of one server process shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from comfysim.folder_paths import FolderPaths
    from comfysim.misbehave import Misbehaviour
    from comfysim.model_management import InterruptFlag, ModelManager
    from comfysim.node_catalog import NodeCatalog
    from comfysim.record import ExecutionRecord
    from comfysim.settings import Settings


@dataclass(frozen=True)
class Runtime:
    """The process' parts that neither the server nor a node owns.

    Attributes:
        args: ComfyUI's arguments.
        settings: The stand-in's own.
        folders: Directories.
        catalog: Node classes.
        models: What is pretended to be loaded.
        interrupt: The interrupt flag.
        misbehaviour: The test switches.
        record: Every execution.
    """

    args: argparse.Namespace
    settings: Settings
    folders: FolderPaths
    catalog: NodeCatalog
    models: ModelManager
    interrupt: InterruptFlag
    misbehaviour: Misbehaviour
    record: ExecutionRecord
