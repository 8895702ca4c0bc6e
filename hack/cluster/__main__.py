"""``python -m hack.cluster``: what the Makefile's targets call."""

from __future__ import annotations

import argparse
import concurrent.futures
import sys
from collections.abc import Callable

from hack.cluster import env, foreign, images, project_images, tools
from hack.cluster.cluster import Cluster
from hack.cluster.process import say
from hack.cluster.settings import ClusterError, Settings

_DESCRIPTION = """\
A Kubernetes for tests and demos. It is made on this machine, unless KUBE_CONTEXT=name names a cluster of yours
(then IMAGE_REGISTRY=host/path says where it pulls images from) or CLUSTER=kind asks for one in Docker."""


def main() -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    settings = Settings.from_environment()
    cluster = foreign.chosen(settings) or Cluster(settings)
    commands: dict[str, Callable[[], object]] = {
        "up": cluster.up,
        "down": cluster.down,
        "status": cluster.status,
        "images": lambda: _images(settings),
        "kubeconfig": _kubeconfig,
    }
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=_DESCRIPTION)
    parser.add_argument("command", choices=commands)
    try:
        return 1 if commands[parser.parse_args().command]() is False else 0
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _images(settings: Settings) -> None:
    """Build our images, bring them to the cluster, and write down what they are called."""
    other = foreign.chosen(settings)
    cluster = Cluster(settings)

    def provide(name: str) -> str:
        if other:
            return other.image(name)
        image = project_images.build(settings, name)
        if cluster.running() and images.load(cluster.layout, image):
            say(f"{name}: loaded into the cluster")
        return image.reference

    with concurrent.futures.ThreadPoolExecutor() as pool:
        helm = pool.submit(tools.helm, settings.cache)  # whoever wants images will want it too
        references = dict(zip(project_images.NAMES, pool.map(provide, project_images.NAMES), strict=True))
        helm.result()
    for reference in references.values():
        say(reference)
    project_images.write_references(references)


def _kubeconfig() -> None:
    """Print what others put into KUBECONFIG."""
    print(env.current_environment().kubeconfig)


if __name__ == "__main__":
    sys.exit(main())
