"""extra_model_paths.yaml: further places for models."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from comfysim.model_folders import absolute

if TYPE_CHECKING:
    from comfysim.folder_paths import FolderPaths

log = logging.getLogger("comfysim")


def load_extra_path_config(path: str, folders: FolderPaths) -> None:
    """Reads one file into the model folders.

    ComfyUI 0.3.64 does not guard this: a missing file, an empty file and a list where a block string belongs all end
    the process with status 1, so nothing is caught here either.

    Args:
        path: The YAML file.
        folders: What to extend.
    """
    config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    beside = Path(absolute(path)).parent
    for section in config:
        entries = config[section]
        if entries is None:
            continue
        base = entries.pop("base_path", None)
        # Path keeps an absolute line as it is, so joining covers lines, relative bases and absolute ones alike.
        root = beside / Path(os.path.expandvars(base)).expanduser() if base is not None else beside
        is_default = entries.pop("is_default", False)
        for key, value in entries.items():
            for line in filter(None, value.split("\n")):
                full = absolute(str(root / line))
                log.info("Adding extra search path %s %s", key, full)
                folders.add_model_folder_path(key, full, is_default=is_default)
