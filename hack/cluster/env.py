"""The cluster in use and its tools, for the demo, the tests and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.cluster import foreign, tools
from hack.cluster.settings import Layout, Settings


@dataclass(frozen=True)
class Environment:
    """Where the cluster is and how it is talked to.

    Attributes:
        kubeconfig: Its current context is the cluster.
        context: The name of that context.
        kubectl: The program.
        helm: The program.
        audit_log: What was written through the API server; only our own cluster has one.
    """

    kubeconfig: Path
    context: str
    kubectl: Path
    helm: Path
    audit_log: Path

    def kubectl_command(self, *arguments: str) -> list[str]:
        """Return the command that runs kubectl with these arguments against the cluster."""
        return [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *arguments]

    def helm_command(self, *arguments: str) -> list[str]:
        """Return the command that runs helm with these arguments against the cluster."""
        return [str(self.helm), f"--kubeconfig={self.kubeconfig}", f"--kube-context={self.context}", *arguments]


def current_environment() -> Environment:
    """Find the cluster that the environment variables choose: ours, a kind cluster, or one of the person's.

    Returns:
        The cluster; whether it runs is not asked.
    """
    settings = Settings.from_environment()
    layout = Layout(settings.state)
    other = foreign.chosen(settings)
    return Environment(
        kubeconfig=other.kubeconfig() if other else layout.kubeconfig,
        context=other.context if other else "comfyard",
        kubectl=tools.kubectl(settings.cache),
        helm=tools.helm(settings.cache),
        audit_log=layout.audit_log,
    )
