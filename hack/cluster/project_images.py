"""Our own images, built by buildah on a base that Debian's packages make, for clusters without a registry."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.cluster import archive, binaries, packages
from hack.cluster.images import REGISTRY, Image
from hack.cluster.process import run, say
from hack.cluster.settings import REPOSITORY, Settings, short_hash

NAMES = ("comfyard", "comfysim")
_BASE_PACKAGES = ("python3", "python3-venv", "python-is-python3", "ca-certificates", "fonts-dejavu-core")
_CERTIFICATES = Path("/etc/ssl/certs")
_BUNDLE = _CERTIFICATES / "ca-certificates.crt"


def key(name: str) -> str:
    """Hash everything that goes into an image."""
    return short_hash(*(f"{file.relative_to(REPOSITORY)} {file.read_bytes().hex()}" for file in _inputs(name)))


def dockerfile(name: str) -> Path:
    """Return the file that describes an image."""
    return REPOSITORY / "operator" / f"{name}.Dockerfile"


def base(settings: Settings) -> Image:
    """Make the image that stands in for python:3.11-slim-bookworm.

    Returns:
        The image; it is made once.
    """
    packages.install(packages.IMAGES)
    tag = short_hash(*_BASE_PACKAGES)
    image = Image(f"{REGISTRY}/base:{tag}", settings.cache / "images" / f"base-{tag}.tar")
    with binaries.locked(settings.cache / "base.lock"):
        if image.file.exists():
            return image
        image.file.parent.mkdir(parents=True, exist_ok=True)
        say("base image: making it from Debian packages")
        began = time.monotonic()
        layer = image.file.with_suffix(".layer")
        layer.unlink(missing_ok=True)
        # In mounts of its own, so that none stays when it is interrupted.
        chosen = f"--include={','.join(_BASE_PACKAGES)}"
        run(
            "unshare",
            "--mount",
            "mmdebstrap",
            "--quiet",
            "--format=tar",
            "--variant=minbase",
            chosen,
            "bookworm",
            layer,
        )
        archive.from_layer(image.file, image.reference, layer)
        layer.unlink()
        say(f"base image: made in {time.monotonic() - began:.0f} s")
    return image


def build(settings: Settings, name: str) -> Image:
    """Build one of our images unless it is there.

    Args:
        settings: Where built things are kept.
        name: Which.

    Returns:
        The image.
    """
    below = base(settings)
    tag = short_hash(key(name), below.reference)
    image = Image(f"{REGISTRY}/{name}:{tag}", settings.cache / "images" / f"{name}-{tag}.tar")
    with binaries.locked(settings.cache / f"{name}.lock"):
        if image.file.exists():
            return image
        say(f"{name}: building the image")
        began = time.monotonic()
        if not _buildah(settings, "images", "--quiet", "--filter", f"reference={below.reference}"):
            _buildah(settings, "pull", "--quiet", f"docker-archive:{below.file}")
        _buildah(settings, "build", "--layers", *_trust(), *_arguments(below, name, image), str(REPOSITORY))
        unfinished = image.file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        _buildah(settings, "push", "--quiet", image.reference, f"docker-archive:{unfinished}:{image.reference}")
        for older in image.file.parent.glob(f"{name}-*.tar"):
            older.unlink()
        shutil.move(unfinished, image.file)
        say(f"{name}: built in {time.monotonic() - began:.0f} s")
    return image


def write_references(references: Mapping[str, str]) -> Path:
    """Write down what the images are called, for the demo and the tests.

    Returns:
        The file.
    """
    file = REPOSITORY / "build" / "images.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(dict(references), indent=2) + "\n")
    return file


def _inputs(name: str) -> Iterator[Path]:
    yield dockerfile(name)
    yield from (REPOSITORY / file for file in ("pyproject.toml", "requirements.lock", "LICENSE", "README.md"))
    for file in sorted((REPOSITORY / "operator").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".Dockerfile":
            yield file


def _arguments(below: Image, name: str, image: Image) -> list[str]:
    return ["--build-arg", f"BASE={below.reference}", "--file", str(dockerfile(name)), "--tag", image.reference]


def _trust() -> list[str]:
    """Let the build trust whom the machine trusts, without leaving a trace in the image."""
    if not _BUNDLE.exists():
        return []
    arguments = [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"]
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        arguments += ["--build-arg", f"{name}={_BUNDLE}"]
    return arguments


def _buildah(settings: Settings, *arguments: str) -> str:
    """Run buildah with storage of its own; in mounts of its own, since it leaves its storage mounted."""
    storage = settings.cache / "buildah"
    where = (f"--root={storage / 'storage'}", f"--runroot={storage / 'run'}", "--storage-driver=overlay")
    environment = ("env", "BUILDAH_ISOLATION=chroot", f"TMPDIR={os.environ.get('TMPDIR', '/tmp')}")  # noqa: S108
    return run("unshare", "--mount", *environment, "buildah", *where, *arguments)
