"""The node's own view of the machine: processes, mounts and network of its own, as a container or a VM would have.

All components and all pods live below one first process. When that one ends, however it ends, the kernel ends all
others and takes away their mounts, bridge, addresses, iptables rules and ipsets. Nothing can be left behind.
"""

from __future__ import annotations

from pathlib import Path

from hack.cluster import machine
from hack.cluster.process import Component, Process, run, start, wait_until
from hack.cluster.settings import MACHINE_ADDRESS, NODE_ADDRESS, NODE_PREFIX, ClusterError, Layout

_RECORD = "node.pid"


class Node:
    """The namespaces, and the processes in them."""

    def __init__(self, layout: Layout, first: Process) -> None:
        self._layout = layout
        self._first = first

    @classmethod
    def existing(cls, layout: Layout) -> Node | None:
        """Find the node of a state folder.

        Returns:
            The node; None when it does not run.
        """
        first = Process.recorded(layout.run / _RECORD)
        return None if first is None else cls(layout, first)

    @classmethod
    def create(cls, layout: Layout) -> Node:
        """Make the namespaces and connect them with the machine.

        Returns:
            The node, in which nothing runs yet.
        """
        machine.remember_sysctls(layout)
        machine.create_cgroups()
        namespaces = ("--pid", "--mount-proc", "--mount", "--net")
        unshare = (*machine.in_cgroup(), "unshare", "--fork", "--kill-child", *namespaces, "--")
        # catatonit waits for processes whose parent is gone, as a first process has to.
        parent = start(Component("node", ("catatonit", "sleep", "infinity"), layout.log / "node.log"), prefix=unshare)
        node = cls(layout, _only_child(parent))
        node._first.record(layout.run / _RECORD)
        node._prepare()
        machine.connect(node._first.pid, layout)
        node.run("ip", "address", "add", f"{NODE_ADDRESS}/{NODE_PREFIX}", "dev", "eth0")
        node.run("ip", "link", "set", "eth0", "up")
        node.run("ip", "route", "add", "default", "via", MACHINE_ADDRESS)
        return node

    @property
    def alive(self) -> bool:
        """Whether its first process runs, and so everything in it may."""
        return self._first.alive()

    def run(self, *arguments: str | Path, check: bool = True) -> str:
        """Run a program in it to its end.

        Returns:
            Its standard output.
        """
        return run(*self._enter(), *arguments, check=check)

    def start(self, component: Component) -> Process:
        """Run a component in it, and write down its process.

        Returns:
            Its process.
        """
        parent = start(component, prefix=self._enter())
        process = _only_child(parent, component)
        process.record(self._layout.run / f"{component.name}.pid")
        return process

    def running(self, name: str) -> bool:
        """Whether a component runs in it."""
        return Process.recorded(self._layout.run / f"{name}.pid") is not None

    def kill(self) -> None:
        """End everything in it."""
        self._first.kill()

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--target={self._first.pid}", "--mount", "--net", "--pid", "--")

    def _prepare(self) -> None:
        """Give it folders of its own where programs insist on writing to well-known ones."""
        self.run("mount", "--make-rshared", "/")  # volumes that a pod mounts are seen by its other containers
        self.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        logs = self._layout.log / "pods"
        logs.mkdir(exist_ok=True)
        self.run("mount", "--bind", logs, "/var/log")
        self.run("ip", "link", "set", "lo", "up")
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def _only_child(parent: Process, component: Component | None = None) -> Process:
    """Wait for the process that unshare or nsenter makes in the namespace, and for it to be the program itself."""
    children: list[Process] = []

    def there_is_one() -> bool:
        try:
            numbers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        except OSError:
            return not parent.alive()
        children[:] = [child for number in numbers if (child := Process.of(int(number)))]
        return bool(children) or not parent.alive()

    wait_until(there_is_one, 5, every=0.01)
    if not children:
        name = component.name if component else "the node"
        raise ClusterError(f"{name} ended as soon as it was started:\n{component.tail() if component else ''}")
    return children[0]
