"""The node classes of ComfyUI 0.3.64: their inputs, outputs and what /object_info says of them.

The facts are the operator's (`comfyard.workflow/node_facts.json`), read as data: the server that validates and the
operator that prepares a graph then cannot disagree about a node. Enumerations of model files are filled in anew for
every request, as the real server does.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfysim.folder_paths import FolderPaths

V3_ENUM_MODULES = frozenset(
    f"comfy_extras.nodes_{name}"
    for name in [
        "align_your_steps",
        "audio_encoder",
        "camera_trajectory",
        "context_windows",
        "controlnet",
        "flux",
        "hidream",
        "hunyuan",
        "lumina2",
        "sd3",
        "string",
        "video",
    ]
)
DISPLAY_NAMES = {
    "CheckpointLoaderSimple": "Load Checkpoint",
    "CLIPLoader": "Load CLIP",
    "CLIPSetLastLayer": "CLIP Set Last Layer",
    "CLIPTextEncode": "CLIP Text Encode (Prompt)",
    "EmptyLatentImage": "Empty Latent Image",
    "ImageScale": "Upscale Image",
    "KSamplerAdvanced": "KSampler (Advanced)",
    "LatentUpscale": "Upscale Latent",
    "LoadImage": "Load Image",
    "LoraLoader": "Load LoRA",
    "PreviewImage": "Preview Image",
    "SaveImage": "Save Image",
    "UNETLoader": "Load Diffusion Model",
    "VAEDecode": "VAE Decode",
    "VAEEncode": "VAE Encode",
    "VAELoader": "Load VAE",
}
UPLOAD_KINDS = {"image_upload": ("image",), "audio_upload": ("audio", "video"), "video_upload": ("video",)}


@dataclass(frozen=True)
class InputSpec:
    """One input of a class.

    Attributes:
        name: Its name.
        kind: Its type, "COMBO" for every enumeration.
        options: ComfyUI's options for it, without those of an enumeration.
        enum: Fixed choices of an enumeration, else None.
        folder: The model folder (or input, 3d, ..) whose files are the choices, else None.
        v3: Whether the class is declared the newer way, where 0.3.64 does not check enumerations.
        required: Whether it must be given.
    """

    name: str
    kind: str
    options: dict[str, Any]
    enum: tuple[Any, ...] | None
    folder: str | None
    v3: bool
    required: bool

    @property
    def is_enum(self) -> bool:
        """Whether the value is one of a list."""
        return self.enum is not None or self.folder is not None


@dataclass(frozen=True)
class NodeClass:
    """One class of the catalogue."""

    name: str
    facts: dict[str, Any]
    inputs: dict[str, InputSpec]

    @property
    def output_node(self) -> bool:
        """Whether running it is a purpose of its own."""
        return bool(self.facts.get("output_node"))

    @property
    def return_types(self) -> list[str]:
        """The types of its output slots."""
        return [out[0] for out in self.facts["out"]]


class NodeCatalog:
    """All classes, and the folders that their file inputs list.

    Args:
        folders: Where model files are looked for.
        api_nodes: Whether the classes that call paid services exist (--disable-api-nodes takes them out).
    """

    def __init__(self, folders: FolderPaths, *, api_nodes: bool = True) -> None:
        text = (resources.files("comfyard.workflow") / "node_facts.json").read_text(encoding="utf-8")
        data = json.loads(text)
        self.folders = folders
        self.enums: dict[str, list[Any]] = data["_enums"]
        self.classes: dict[str, NodeClass] = {
            name: NodeClass(name, facts, self._inputs(facts))
            for name, facts in data["nodes"].items()
            if api_nodes or not facts.get("api_node")
        }

    def add(self, name: str, facts: dict[str, Any]) -> None:
        """Takes in a class of custom nodes.

        Args:
            name: Its name.
            facts: As the file of facts has them.
        """
        self.classes[name] = NodeClass(name, facts, self._inputs(facts))

    def _inputs(self, facts: dict[str, Any]) -> dict[str, InputSpec]:
        v3 = facts["mod"].startswith("comfy_api_nodes.") or facts["mod"] in V3_ENUM_MODULES
        inputs: dict[str, InputSpec] = {}
        for key in ("req", "opt"):
            for name, entry in facts.get(key, {}).items():
                kind = entry[0]
                options = dict(entry[1]) if len(entry) > 1 else {}
                enum: tuple[Any, ...] | None = None
                folder: str | None = None
                if kind == "ENUM":
                    choices = options.pop("options")
                    enum = tuple(self.enums[choices] if isinstance(choices, str) else choices)
                elif kind.startswith("FILE:"):
                    folder = kind.removeprefix("FILE:")
                    enum = tuple(options.pop("fixed", ()))
                if enum is not None:
                    kind = "COMBO"
                inputs[name] = InputSpec(name, kind, options, enum, folder, v3, key == "req")
        return inputs

    def choices(self, spec: InputSpec) -> list[Any]:
        """Gives the values an enumeration offers now.

        Args:
            spec: An input with `is_enum`.

        Returns:
            Its fixed choices, or the files that lie in its folder.
        """
        fixed = list(spec.enum or ())
        if spec.folder is None:
            return fixed
        if spec.folder == "input":
            kinds = next((k for option, k in UPLOAD_KINDS.items() if spec.options.get(option)), ())
            return self.folders.input_files(kinds) + fixed
        if spec.folder == "3d":
            return _models_3d(Path(self.folders.input)) + fixed
        if spec.folder == "input_subfolders":
            return sorted(e.name for e in _entries(self.folders.input) if e.is_dir()) + fixed
        if spec.folder == "vae":
            fixed = [name for name in fixed if self._approximation_is_there(name)]
        return list(self.folders.get_filename_list(spec.folder)) + fixed

    def _approximation_is_there(self, name: str) -> bool:
        if name == "pixel_space":
            return True
        files = self.folders.get_filename_list("vae_approx")
        return all(any(f.startswith(f"{name}_{half}.") for f in files) for half in ("encoder", "decoder"))

    def entry(self, spec: InputSpec) -> list[Any]:
        """Writes an input as INPUT_TYPES would have it; also the `input_config` of validation errors.

        Args:
            spec: The input.

        Returns:
            [type], or [type, options], where an enumeration's type is its list of choices unless declared the V3 way.
        """
        if not spec.is_enum:
            return [spec.kind, spec.options] if spec.options else [spec.kind]
        choices = self.choices(spec)
        if spec.v3:
            return ["COMBO", {**spec.options, "options": choices}]
        return [choices, spec.options] if spec.options else [choices]

    def object_info(self, name: str) -> dict[str, Any]:
        """Writes one class' entry of /object_info.

        Args:
            name: A class of the catalogue.

        Returns:
            The entry.
        """
        node = self.classes[name]
        groups: dict[str, dict[str, Any]] = {}
        for key, short in (("required", "req"), ("optional", "opt")):
            if short in node.facts or key == "required":
                groups[key] = {n: self.entry(node.inputs[n]) for n in node.facts.get(short, {})}
        if "hid" in node.facts:
            groups["hidden"] = dict(node.facts["hid"])
        outputs = node.facts["out"]
        info: dict[str, Any] = {
            "input": groups,
            "input_order": {key: list(group) for key, group in groups.items()},
            "output": node.return_types,
            "output_is_list": [bool(out[2:] and out[2]) for out in outputs],
            "output_name": [out[1] for out in outputs],
            "name": name,
            "display_name": DISPLAY_NAMES.get(name, name),
            "description": "",
            "python_module": node.facts["mod"],
            "category": node.facts["cat"],
            "output_node": node.output_node,
        }
        info.update({flag: True for flag in ("deprecated", "experimental", "api_node") if node.facts.get(flag)})
        return info

    def all_object_info(self) -> dict[str, Any]:
        """Writes /object_info.

        Returns:
            All entries. As in ComfyUI 0.3.64, asking creates the folder input/3d.
        """
        try:
            (Path(self.folders.input) / "3d").mkdir(parents=True, exist_ok=True)
        except OSError:  # a read-only input directory: the real server then lacks the 3D classes
            return {n: self.object_info(n) for n in self.classes if "3D" not in n or not n.startswith("Load3D")}
        return {name: self.object_info(name) for name in self.classes}


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(path))
    except OSError:
        return []


def _models_3d(root: Path) -> list[str]:
    suffixes = {".gltf", ".glb", ".obj", ".fbx", ".stl"}
    found = (p for p in (root / "3d").rglob("*") if p.suffix.lower() in suffixes)
    return sorted(p.relative_to(root).as_posix() for p in found)
