"""Pictures in and out: /upload/image, /upload/mask and /view."""

from __future__ import annotations

import asyncio
import io
import json
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from PIL import Image

from comfysim.model_folders import absolute, is_inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiDictProxy

    from comfysim.folder_paths import FolderPaths
    from comfysim.server import PromptServer

ACTIVE_CONTENT = {"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"}


def routes(server: PromptServer) -> list[web.RouteDef]:
    """Lists the routes.

    Args:
        server: Whose they are.

    Returns:
        Routes without the /api prefix.
    """
    handlers = FileRoutes(server.runtime.folders)
    return [
        web.post("/upload/image", handlers.upload_image),
        web.post("/upload/mask", handlers.upload_mask),
        web.get("/view", handlers.view),
    ]


class FileRoutes:
    """The handlers.

    Args:
        folders: Where pictures lie.
    """

    def __init__(self, folders: FolderPaths) -> None:
        self.folders = folders

    async def upload_image(self, request: web.Request) -> web.Response:
        """Keeps an uploaded file. Its name may change: other bytes under a taken name get "name (1).png"."""
        fields = await request.post()
        return await asyncio.get_running_loop().run_in_executor(None, self._upload, fields, None)

    async def upload_mask(self, request: web.Request) -> web.Response:
        """Keeps an original with the mask's alpha; 200 also if the original is missing and nothing is written."""
        fields = await request.post()
        original = json.loads(str(fields["original_ref"]))
        return await asyncio.get_running_loop().run_in_executor(None, self._upload, fields, original)

    def _upload(self, fields: MultiDictProxy[Any], original: dict[str, Any] | None) -> web.Response:
        image = fields.get("image")
        kind = fields.get("type")
        directory = self.folders.get_directory_by_type("input" if kind is None else kind)
        if directory is None:
            raise ValueError(f"upload type {kind!r}")
        overwrite = fields.get("overwrite") in ("true", "1")
        if not image or not image.file:
            return web.Response(status=400)
        name = image.filename
        if not name:
            return web.Response(status=400)
        subfolder = fields.get("subfolder", "")
        folder = absolute(directory, subfolder)
        if not (is_inside(directory, folder) and is_inside(directory, absolute(folder, name))):
            return web.Response(status=400)
        Path(folder).mkdir(parents=True, exist_ok=True)
        content = image.file.read()
        given, target, count = Path(name), Path(folder) / name, 1
        while not overwrite and target.exists() and target.read_bytes() != content:
            name = f"{given.with_suffix('')} ({count}){given.suffix}"
            target = Path(folder) / name
            count += 1
        if original is None:
            target.write_bytes(content)
        else:
            self._write_masked(content, original, target)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind or "input"})

    def _write_masked(self, mask: bytes, original: dict[str, Any], target: Path) -> None:
        directory = self.folders.get_directory_by_type(original.get("type", "output"))
        path = Path(directory or self.folders.output) / original.get("subfolder", "") / original["filename"]
        if not path.is_file():
            return
        with Image.open(path) as file:
            picture = file.convert("RGBA")
        with Image.open(io.BytesIO(mask)) as file:
            alpha = file.convert("RGBA").getchannel("A").resize(picture.size)
        picture.putalpha(alpha)
        picture.save(target, compress_level=4)

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Gives a file back, whole or as a preview."""
        query = request.query
        path, status = self._find(query)
        if path is None:
            return web.Response(status=status)
        disposition = {"Content-Disposition": f'filename="{path.name}"'}
        if "preview" in query or query.get("channel", "rgba") != "rgba":
            body, kind = await asyncio.get_running_loop().run_in_executor(None, _converted, path, dict(query))
            return web.Response(body=body, content_type=kind, headers=disposition)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind in ACTIVE_CONTENT:
            kind = "application/octet-stream"
        return web.FileResponse(path, headers={**disposition, "Content-Type": kind})

    def _find(self, query: Mapping[str, str]) -> tuple[Path | None, int]:
        """Finds what a request names, or the status to refuse it with; symlinks are followed, as in ComfyUI 0.3.64."""
        if "filename" not in query:
            return None, 404
        name, directory = self.folders.annotated(query["filename"])
        directory = directory or self.folders.get_directory_by_type(query.get("type", "output"))
        if not name or name.startswith("/") or ".." in name or directory is None:
            return None, 400
        folder = absolute(directory, query.get("subfolder", ""))
        if not is_inside(directory, folder):
            return None, 403
        path = Path(folder) / Path(name).name
        return (path, 200) if path.is_file() else (None, 404)


def _converted(path: Path, query: dict[str, str]) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    channel = query.get("channel", "rgba")
    with Image.open(path) as picture:
        if "preview" in query:
            parts = query["preview"].split(";")
            form = parts[0] if parts[0] in ("webp", "jpeg") else "webp"
            quality = int(parts[-1]) if parts[-1].isdigit() else 90
            mode = "RGB" if form == "jpeg" or channel == "rgb" else picture.mode
            picture.convert(mode).save(buffer, format=form, quality=quality)
            return buffer.getvalue(), f"image/{form}"
        if channel == "a":
            alpha = picture.getchannel("A") if "A" in picture.getbands() else Image.new("L", picture.size, 255)
            result = Image.new("RGBA", picture.size)
            result.putalpha(alpha)
        else:
            result = picture.convert("RGB")
        result.save(buffer, format="PNG")
        return buffer.getvalue(), "image/png"
