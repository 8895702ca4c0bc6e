"""Container images: those of the cluster itself, and ours; kept as archives that are named by what went into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import archive, binaries, node, packages
from hack.cluster.process import run
from hack.cluster.settings import Layout, Settings, short_hash

REGISTRY = "comfyard.local"
_BUSYBOX_COMMANDS = ("cat", "ls", "mkdir", "nc", "nslookup", "rm", "sh", "sleep")


@dataclass(frozen=True)
class Image:
    """An image and the file that it is loaded from."""

    reference: str
    file: Path


def pause(settings: Settings) -> Image:
    """Return the image that holds a pod's namespaces."""
    program = Path(packages.which("catatonit"))
    return of_files(settings, "pause", {"pause": program}, ["/pause", "-P"])


def essential(settings: Settings) -> dict[str, Image]:
    """Make the images that the cluster itself runs.

    Returns:
        The images by the placeholder that stands for them in the manifests.
    """
    commands = {f"bin/{name}": "busybox" for name in _BUSYBOX_COMMANDS}
    busybox: dict[str, Path | str] = {"bin/busybox": packages.busybox(settings.cache), **commands}
    coredns = binaries.build(binaries.COREDNS, settings.cache)
    provisioner = binaries.build(binaries.LOCAL_PATH_PROVISIONER, settings.cache)
    return {
        "PAUSE": pause(settings),
        "BUSYBOX": of_files(settings, "busybox", busybox, []),
        "COREDNS": of_files(settings, "coredns", {"coredns": coredns}, ["/coredns"]),
        "LOCAL_PATH_PROVISIONER": of_files(
            settings, "local-path-provisioner", {"local-path-provisioner": provisioner}, ["/local-path-provisioner"]
        ),
    }


def runtime_answers(layout: Layout) -> bool:
    """Whether the cluster's containerd runs."""
    return "Server:" in run(*_ctr(layout), "version", check=False)


def load(layout: Layout, image: Image) -> bool:
    """Give an image to the cluster's containerd unless it has it.

    Returns:
        Whether it was loaded now.
    """
    if image.reference in run(*_ctr(layout), "images", "list", "--quiet").split():
        return False
    run(*_ctr(layout), "images", "import", image.file)
    return True


def _ctr(layout: Layout) -> tuple[str, ...]:
    return ("ctr", "--address", str(node.containerd_socket(layout)), "--namespace", "k8s.io")


def of_files(settings: Settings, name: str, files: Mapping[str, Path | str], entrypoint: Sequence[str]) -> Image:
    """Make an image of single files unless it is there.

    Args:
        settings: Where built things are kept.
        name: What it is called.
        files: See `archive.from_files`.
        entrypoint: The image's command.

    Returns:
        The image.
    """
    key = short_hash(name, *entrypoint, *(f"{path} {source}" for path, source in files.items()))
    # A program's path says what it is, except for the machine's own, which an upgrade may change.
    sizes = short_hash(key, *(str(source.stat().st_size) for source in files.values() if isinstance(source, Path)))
    image = Image(f"{REGISTRY}/{name}:{sizes}", settings.cache / "images" / f"{name}-{sizes}.tar")
    if not image.file.exists():
        image.file.parent.mkdir(parents=True, exist_ok=True)
        archive.from_files(image.file, image.reference, files, entrypoint)
    return image
