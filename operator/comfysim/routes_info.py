"""What a client asks about the server: classes, models, memory, features and logs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from comfysim.errors import SafetensorError
from comfysim.safetensors import read_header

if TYPE_CHECKING:
    from comfysim.server import PromptServer

COMFYUI_VERSION = "0.3.64"
FRONTEND_VERSION = "1.27.10"
PYTORCH_VERSION = "2.8.0+comfysim"


def routes(server: PromptServer) -> list[web.RouteDef]:
    """Lists the routes that also answer under /api.

    Args:
        server: Whose they are.

    Returns:
        Routes without the prefix.
    """
    handlers = InfoRoutes(server)
    return [
        web.get("/", handlers.index),
        web.get("/object_info", handlers.object_info),
        web.get("/object_info/{node_class}", handlers.object_info_node),
        web.get("/models", handlers.models),
        web.get("/models/{folder}", handlers.models_in),
        web.get("/embeddings", handlers.embeddings),
        web.get("/view_metadata/{folder}", handlers.view_metadata),
        web.get("/system_stats", handlers.system_stats),
        web.get("/features", handlers.features),
        web.get("/extensions", handlers.extensions),
    ]


def internal_routes(server: PromptServer) -> list[web.RouteDef]:
    """Lists the routes under /internal, which have no /api twin.

    Args:
        server: Whose they are.

    Returns:
        The routes.
    """
    handlers = InfoRoutes(server)
    return [
        web.get("/internal/logs", handlers.logs),
        web.get("/internal/logs/raw", handlers.logs_raw),
        web.get("/internal/folder_paths", handlers.folder_paths),
        web.get("/internal/files/{kind}", handlers.internal_files),
    ]


class InfoRoutes:
    """The handlers.

    Args:
        server: Whose they are.
    """

    def __init__(self, server: PromptServer) -> None:
        self.server = server
        self.runtime = server.runtime
        self.folders = server.runtime.folders

    async def index(self, _: web.Request) -> web.Response:
        """Says in words what this is; the front end is not part of the stand-in."""
        return web.Response(text="comfysim: a stand-in for ComfyUI; it runs no model and has no front end.\n")

    async def object_info(self, _: web.Request) -> web.Response:
        """Describes all classes."""
        return web.json_response(self.runtime.catalog.all_object_info())

    async def object_info_node(self, request: web.Request) -> web.Response:
        """Describes one class; an unknown one is an empty object."""
        name = request.match_info["node_class"]
        known = name in self.runtime.catalog.classes
        return web.json_response({name: self.runtime.catalog.object_info(name)} if known else {})

    async def models(self, _: web.Request) -> web.Response:
        """Lists the model folders."""
        return web.json_response(list(self.folders.folders))

    async def models_in(self, request: web.Request) -> web.Response:
        """Lists a model folder; the legacy names are unknown here."""
        folder = request.match_info["folder"]
        if folder not in self.folders.folders:
            return web.Response(status=404)
        return web.json_response(self.folders.get_filename_list(folder))

    async def embeddings(self, _: web.Request) -> web.Response:
        """Lists embeddings without their extensions."""
        names = self.folders.get_filename_list("embeddings")
        return web.json_response([str(Path(name).with_suffix("")) for name in names])

    async def view_metadata(self, request: web.Request) -> web.Response:
        """Shows the `__metadata__` of a .safetensors file."""
        name = request.query.get("filename", "")
        path = self.folders.get_full_path(request.match_info["folder"], name)
        if not name.endswith(".safetensors") or path is None:
            return web.Response(status=404)
        try:
            header = read_header(Path(path))
        except SafetensorError:
            return web.Response(status=404)
        if "__metadata__" not in header:
            return web.Response(status=404)
        return web.json_response(header["__metadata__"])

    async def system_stats(self, _: web.Request) -> web.Response:
        """Describes the machine and the pretended card."""
        total, free = memory()
        system = {
            "os": os.name,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": FRONTEND_VERSION,
            "installed_templates_version": "0.1.94",
            "required_templates_version": "0.1.94",
            "python_version": sys.version,
            "pytorch_version": PYTORCH_VERSION,
            "embedded_python": False,
            "argv": self.runtime.args.argv,
        }
        return web.json_response({"system": system, "devices": [self._device(total, free)]})

    def _device(self, total: int, free: int) -> dict[str, Any]:
        if self.runtime.args.cpu:
            name, kind, index = "cpu", "cpu", None
            torch_total, torch_free = total, free
        else:
            name, kind, index = f"cuda:0 {self.runtime.settings.gpu_name} : native", "cuda", 0
            total, free = self.runtime.settings.vram_bytes, self.runtime.models.free_vram()
            torch_total, torch_free = total - free, 0
        return {
            "name": name,
            "type": kind,
            "index": index,
            "vram_total": total,
            "vram_free": free,
            "torch_vram_total": torch_total,
            "torch_vram_free": torch_free,
        }

    async def features(self, _: web.Request) -> web.Response:
        """Shows the feature flags."""
        return web.json_response(self.server.features())

    async def extensions(self, _: web.Request) -> web.Response:
        """Lists front-end extensions: none."""
        return web.json_response([])

    async def logs(self, _: web.Request) -> web.Response:
        """Shows the last log lines as one text."""
        return web.json_response("".join(f"{entry['t']} - {entry['m']}" for entry in self.server.logs.entries))

    async def logs_raw(self, _: web.Request) -> web.Response:
        """Shows the last writes to standard error."""
        return web.json_response({"entries": list(self.server.logs.entries), "size": {"cols": 80, "rows": 24}})

    async def folder_paths(self, _: web.Request) -> web.Response:
        """Lists the directories of the model folders."""
        return web.json_response({key: folder.paths for key, folder in self.folders.folders.items()})

    async def internal_files(self, request: web.Request) -> web.Response:
        """Lists the files of input, output or temp, newest first."""
        directory = self.folders.get_directory_by_type(request.match_info["kind"])
        if directory is None:
            return web.json_response({"error": "Invalid directory type"}, status=400)
        try:
            entries = [e for e in os.scandir(directory) if e.is_file()]
        except OSError:
            entries = []
        entries.sort(key=lambda entry: -entry.stat().st_mtime)
        return web.json_response([entry.name for entry in entries])


def memory() -> tuple[int, int]:
    """Reads the machine's memory.

    Returns:
        Total and free bytes of the *host*, also in a container, as ComfyUI 0.3.64 sees them.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
