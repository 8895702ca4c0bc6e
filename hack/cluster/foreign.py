"""Clusters that are not ours: one of the person's that they named, or one that kind makes in Docker."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import project_images, tools
from hack.cluster.images import REGISTRY
from hack.cluster.process import run, say
from hack.cluster.settings import REPOSITORY, ClusterError, Settings

_KIND = "comfyard"


@dataclass(frozen=True)
class ForeignCluster:
    """What the commands do when the cluster is not ours. One that was not made by kind is never changed from here."""

    settings: Settings
    context: str

    def up(self) -> None:
        """Make sure that it answers."""
        if self.settings.kind and _KIND not in run("kind", "get", "clusters").split():
            run("kind", "create", "cluster", "--name", _KIND, "--wait", "120s")
        if not self.status():
            raise ClusterError(f"the cluster of context {self.context} does not answer")

    def down(self) -> None:
        """Take it away if kind made it."""
        if self.settings.kind:
            run("kind", "delete", "cluster", "--name", _KIND)
        else:
            say(f"the cluster of context {self.context} is yours; it stays as it is")

    def status(self) -> bool:
        """Print its nodes.

        Returns:
            Whether it answers.
        """
        nodes = self._kubectl("get", "nodes", check=False)
        say(nodes.rstrip() or f"the cluster of context {self.context} does not answer")
        return bool(nodes)

    def image(self, name: str) -> str:
        """Build an image and bring it where the cluster finds it.

        Returns:
            Its reference.
        """
        registry = REGISTRY if self.settings.kind else self.settings.image_registry
        if not registry:
            raise ClusterError("say where the cluster can pull images from: IMAGE_REGISTRY=host/path")
        builder = next((program for program in ("docker", "buildah") if shutil.which(program)), None)
        if builder is None:
            raise ClusterError("docker or buildah is needed to build images")
        reference = f"{registry}/{name}:{project_images.key(name)}"
        say(f"{name}: building {reference} with {builder}")
        run(builder, "build", "--file", project_images.dockerfile(name), "--tag", reference, REPOSITORY)
        if self.settings.kind:
            run("kind", "load", "docker-image", "--name", _KIND, reference)
        else:
            run(builder, "push", reference)
        return reference

    def kubeconfig(self) -> Path:
        """Write a kubeconfig of this cluster alone, so that nothing can reach another one by mistake.

        Returns:
            Its path.
        """
        file = REPOSITORY / "build" / "kubeconfig"
        file.parent.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(self._kubectl("config", "view", "--minify", "--flatten"))
        return file

    def _kubectl(self, *arguments: str, check: bool = True) -> str:
        return run(tools.kubectl(self.settings.cache), f"--context={self.context}", *arguments, check=check)


def chosen(settings: Settings) -> ForeignCluster | None:
    """Return the cluster that was chosen instead of ours; None when it is ours."""
    if settings.kube_context:
        return ForeignCluster(settings, settings.kube_context)
    return ForeignCluster(settings, f"kind-{_KIND}") if settings.kind else None
