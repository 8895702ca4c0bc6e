"""Container images without a builder: a base system, or a few programs, as an archive that containerd and buildah read.

The format is that of ``docker save``: https://github.com/moby/docker-image-spec
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def from_files(archive: Path, reference: str, files: Mapping[str, Path | str], entrypoint: Sequence[str]) -> None:
    """Write an image of single files.

    Args:
        archive: Where to.
        reference: The image's name.
        files: What lies at each path in the image: a file of the machine, or the target of a link.
        entrypoint: The image's command.
    """
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for name, source in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(source, str):
                member.type, member.linkname = tarfile.SYMTYPE, source
                tar.addfile(member)
                continue
            member.size, member.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                tar.addfile(member, content)
    from_layer(archive, reference, layer, entrypoint)
    layer.unlink()


def from_layer(archive: Path, reference: str, layer: Path, entrypoint: Sequence[str] = ()) -> None:
    """Write an image of one layer; the archive has its name only when it is whole.

    Args:
        archive: Where to.
        reference: The image's name.
        layer: A tar of a root folder.
        entrypoint: The image's command.
    """
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Env": [f"PATH={path}"], "Entrypoint": list(entrypoint) or None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "hack/cluster"}],
    }
    encoded = json.dumps(config).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    unfinished = archive.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as tar:
        for member, content_bytes in ((name, encoded), ("manifest.json", json.dumps(manifest).encode())):
            information = tarfile.TarInfo(member)
            information.size = len(content_bytes)
            tar.addfile(information, io.BytesIO(content_bytes))
        tar.add(layer, "layer.tar")
    shutil.move(unfinished, archive)


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
