"""Where models, inputs and outputs lie, and which names a model folder offers.

A name is a path relative to its folder ("sub/x.safetensors"). Listings are remembered per folder until a directory's
modification time changes, as ComfyUI 0.3.64 does it, so a file that appears is seen without a restart.
"""

from __future__ import annotations

import logging
import mimetypes
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from comfysim.model_folders import (
    ALSO_IN_OUTPUT,
    FILE_KINDS,
    LEGACY_NAMES,
    MODEL_EXTENSIONS,
    MODEL_FOLDERS,
    OTHER_EXTENSIONS,
    SEVERAL_DIRECTORIES,
    Listing,
    ModelFolder,
    absolute,
    matching,
    mtime,
    walk,
)

log = logging.getLogger("comfysim")


@dataclass
class FolderPaths:
    """All directories of one process.

    Attributes:
        base: The directory that everything else is relative to by default.
        output: Finished pictures.
        input: Uploads.
        temp: Previews; emptied at every start.
        user: The front end's files.
        folders: Model folders by key.
    """

    base: str
    output: str
    input: str
    temp: str
    user: str
    folders: dict[str, ModelFolder] = field(default_factory=dict)
    _listings: dict[str, Listing] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        base: str,
        output: str | None = None,
        input_: str | None = None,
        temp: str | None = None,
        user: str | None = None,
    ) -> FolderPaths:
        """Lays the directories out as ComfyUI does.

        Args:
            base: The base directory.
            output: Overrides base/output.
            input_: Overrides base/input.
            temp: Overrides the *parent* of the temp directory: X becomes X/temp.
            user: Overrides base/user.

        Returns:
            The layout; nothing has been created yet.
        """
        base = absolute(base)

        def at(given: str | None, *default: str) -> str:
            return absolute(given) if given is not None else absolute(base, *default)

        paths = cls(
            base=base,
            output=at(output, "output"),
            input=at(input_, "input"),
            temp=str(Path(at(temp)) / "temp"),
            user=at(user, "user"),
        )
        for key in MODEL_FOLDERS:
            root = Path(base) if key == "custom_nodes" else Path(base) / "models"
            directories = [str(root / name) for name in SEVERAL_DIRECTORIES.get(key, (key,))]
            if key in ALSO_IN_OUTPUT:
                directories.append(str(Path(paths.output) / ALSO_IN_OUTPUT[key]))
            paths.folders[key] = ModelFolder(directories, OTHER_EXTENSIONS.get(key, MODEL_EXTENSIONS))
        return paths

    def prepare(self) -> None:
        """Does what ComfyUI does to the directories while it starts.

        A missing output directory is *not* created here: on a read-only root ComfyUI starts without one and fails
        in every SaveImage instead, and a missing input directory only costs a log line.

        Raises:
            OSError: The temp or user directory cannot be made, or there is no place for temporary files at all.
        """
        tempfile.gettempdir()
        try:
            Path(self.input).mkdir(parents=True, exist_ok=True)
        except OSError:
            log.exception("Failed to create input directory")
        Path(self.user).mkdir(parents=True, exist_ok=True)
        self.remove_temp()
        Path(self.temp).mkdir(parents=True, exist_ok=True)

    def remove_temp(self) -> None:
        """Empties the temp directory, at start and at a clean exit."""
        shutil.rmtree(self.temp, ignore_errors=True)

    def add_model_folder_path(self, key: str, path: str, *, is_default: bool = False) -> None:
        """Adds a search directory, for extra_model_paths.yaml.

        Args:
            key: Folder key; the legacy names unet and clip are mapped. An unknown key makes a new folder that takes
                every file.
            path: The directory.
            is_default: Put it first. Lines of one section are added in order, so the last one ends up first.
        """
        key = LEGACY_NAMES.get(key, key)
        folder = self.folders.setdefault(key, ModelFolder([], frozenset()))
        if path in folder.paths:
            if is_default:
                folder.paths.remove(path)
                folder.paths.insert(0, path)
        elif is_default:
            folder.paths.insert(0, path)
        else:
            folder.paths.append(path)
        self._listings.pop(key, None)

    def get_filename_list(self, key: str) -> list[str]:
        """Lists a model folder.

        Args:
            key: Folder key.

        Returns:
            Sorted names, relative to the folder's directories.

        Raises:
            KeyError: There is no such folder.
        """
        key = LEGACY_NAMES.get(key, key)
        folder = self.folders[key]
        known = self._listings.get(key)
        if known is not None and known.times == {d: mtime(d) for d in known.times}:
            return known.names
        names: set[str] = set()
        times: dict[str, float] = {}
        for path in folder.paths:
            times[path] = mtime(path)
            if Path(path).is_dir():
                found, seen = walk(path)
                times.update(seen)
                names.update(matching(found, folder.extensions))
        self._listings[key] = Listing(sorted(names), times)
        return self._listings[key].names

    def get_full_path(self, key: str, name: str) -> str | None:
        """Finds a model file.

        Args:
            key: Folder key.
            name: Relative name.

        Returns:
            The path, or None if no directory of the folder has it.
        """
        folder = self.folders.get(LEGACY_NAMES.get(key, key))
        if folder is None:
            return None
        relative = absolute("/", name).lstrip("/")
        for path in folder.paths:
            full = Path(path) / relative
            if full.is_file():
                return str(full)
        return None

    def get_full_path_or_raise(self, key: str, name: str) -> str:
        """Finds a model file or fails with ComfyUI's message.

        Args:
            key: Folder key.
            name: Relative name.

        Returns:
            The path.

        Raises:
            FileNotFoundError: It is not there (any more).
        """
        path = self.get_full_path(key, name)
        if path is None:
            raise FileNotFoundError(f"Model in folder '{key}' with filename '{name}' not found.")
        return path

    def get_directory_by_type(self, kind: str | None) -> str | None:
        """Maps input, output and temp to directories.

        Args:
            kind: The `type` of a request or of an output reference.

        Returns:
            The directory, or None for any other word.
        """
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(kind or "")

    def get_annotated_filepath(self, name: str) -> str:
        """Resolves the value of LoadImage.

        Absolute paths and `..` are followed: ComfyUI 0.3.64 does not contain them.

        Args:
            name: A name in the input directory, or one with a suffix like " [output]".

        Returns:
            The path, whether or not it exists.
        """
        bare, directory = self.annotated(name)
        return str(Path(directory or self.input) / bare)

    def annotated(self, name: str) -> tuple[str, str | None]:
        """Splits a suffix " [input]", " [output]" or " [temp]" off.

        Args:
            name: The annotated name.

        Returns:
            The name without it, and the directory it stands for, if any.
        """
        for kind in FILE_KINDS:
            if name.endswith(f"[{kind}]"):
                return name[: -len(kind) - 3], self.get_directory_by_type(kind)
        return name, None

    def input_files(self, kinds: tuple[str, ...]) -> list[str]:
        """Lists the top level of the input directory by content type.

        Args:
            kinds: Main content types such as "image"; empty for all files.

        Returns:
            Sorted names.
        """
        try:
            names = [e.name for e in os.scandir(self.input) if e.is_file()]
        except OSError:
            return []
        return sorted(n for n in names if not kinds or (mimetypes.guess_type(n)[0] or "").split("/")[0] in kinds)
