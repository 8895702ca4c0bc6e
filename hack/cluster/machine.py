"""What the cluster changes on the machine outside its own namespaces, and how all of it is undone.

Each change can be told apart by its name or comment, so it is found again even when nothing is left that made it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.process import Process, run, wait_until
from hack.cluster.settings import (
    CGROUP,
    CLUSTER_CIDR,
    LINK,
    MACHINE_ADDRESS,
    NODE_ADDRESS,
    NODE_PREFIX,
    ClusterError,
    Layout,
)

_CGROUPS = Path("/sys/fs/cgroup")
_COMMENT = "comfyard-cluster"
# Packets between pods and the world, and answers to them. The machine may forward nothing otherwise (Docker's policy).
_RULES = (
    ("nat", "POSTROUTING", ("-s", CLUSTER_CIDR, "!", "-d", CLUSTER_CIDR, "!", "-o", LINK), "MASQUERADE"),
    ("filter", "FORWARD", ("-i", LINK), "ACCEPT"),
    ("filter", "FORWARD", ("-o", LINK), "ACCEPT"),
)
# The kubelet insists on the first ones; forwarding is what lets pods reach anything outside.
_SYSCTLS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward"),
)


def check() -> None:
    """Say what stands in the way of a cluster, before anything is changed.

    Raises:
        ClusterError: Something does, and what.
    """
    if os.geteuid() != 0:
        raise ClusterError(
            "a node needs root: run it with sudo, or use your own cluster (KUBE_CONTEXT=…) or kind (CLUSTER=kind)"
        )
    own = ipaddress.ip_network(CLUSTER_CIDR)
    for route in json.loads(run("ip", "-json", "route", "show", "table", "all")):
        with contextlib.suppress(ValueError):
            other = ipaddress.ip_network(route.get("dst", ""))
            if other.version == own.version and other.prefixlen > 0 and own.overlaps(other):
                raise ClusterError(f"the cluster's addresses {own} are in use: {other} on {route.get('dev')}")
    for module in ("br_netfilter", "overlay"):
        if shutil.which("modprobe"):
            run("modprobe", module, check=False)
    if not Path("/proc/sys/net/bridge").exists():
        raise ClusterError("the kernel's br_netfilter is missing; without it Services and NetworkPolicies do not work")


def check_owner(layout: Layout) -> None:
    """Leave a cluster alone whose state is in another folder; there can be one on a machine.

    Raises:
        ClusterError: There is one.
    """
    alias = Path("/sys/class/net") / LINK / "ifalias"
    owner = alias.read_text().strip() if alias.exists() else ""
    if owner and owner != str(layout.root):
        raise ClusterError(f"another cluster runs; to end it: COMFYARD_CLUSTER_DIR={owner} make cluster-down")


def connect(node: int, layout: Layout) -> None:
    """Lay a cable from the machine to the node's network stack, and let pods out.

    Args:
        node: The process that holds the node's namespaces.
        layout: Whose node it is, for the cable's label.
    """
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(node))
    run("ip", "link", "set", LINK, "alias", str(layout.root))
    run("ip", "address", "add", f"{MACHINE_ADDRESS}/{NODE_PREFIX}", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    run("ip", "route", "add", CLUSTER_CIDR, "via", NODE_ADDRESS)
    for table, chain, match, target in _RULES:
        run("iptables", "-w", "-t", table, "-I", chain, *match, "-m", "comment", "--comment", _COMMENT, "-j", target)


def remember_sysctls(layout: Layout) -> None:
    """Note the kernel's settings that the cluster is about to change, and allow forwarding."""
    values = {name: _sysctl(name).read_text().strip() for name in _SYSCTLS if _sysctl(name).exists()}
    (layout.run / "sysctls.json").write_text(json.dumps(values))
    _sysctl("net/ipv4/ip_forward").write_text("1")


def create_cgroups() -> None:
    """Make the cgroup below which all pods are: one for each hierarchy, or the only one."""
    if (_CGROUPS / "cgroup.controllers").exists():
        (_CGROUPS / CGROUP).mkdir(exist_ok=True)
        wanted = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}
        for controller in wanted.intersection((_CGROUPS / "cgroup.controllers").read_text().split()):
            with contextlib.suppress(OSError):
                (_CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
        return
    for hierarchy in _hierarchies():
        (hierarchy / CGROUP).mkdir(exist_ok=True)
        for name in ("cpuset.mems", "cpuset.cpus"):  # empty in a new one, and then nothing may run there
            if (hierarchy / name).exists():
                (hierarchy / CGROUP / name).write_text((hierarchy / name).read_text())


def in_cgroup() -> tuple[str, ...]:
    """Return a command's beginning that puts it into the cluster's cgroup, where it is found whatever happens."""
    simple = [root for root in [_CGROUPS, *_hierarchies()] if not (root / "cpuset.cpus").exists()]
    folder = simple[-1] / CGROUP / "node"
    folder.mkdir(parents=True, exist_ok=True)
    return ("sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh")


def kill_cgroups() -> None:
    """End what runs in the cluster's cgroups: pods, and a node that was being made and never written down."""

    def nobody_is_left() -> bool:
        for process in list(_processes_in_cgroups()):
            process.kill()
        return not any(_processes_in_cgroups())

    if not wait_until(nobody_is_left, 10):
        raise ClusterError(f"processes in the cgroup {CGROUP} do not end")


def _processes_in_cgroups() -> Iterator[Process]:
    for root in [_CGROUPS, *_hierarchies()]:
        for file in (root / CGROUP).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from filter(None, (Process.of(int(line)) for line in file.read_text().split() if line != "0"))


def undo(layout: Layout) -> None:
    """Take back every change, whether or not it is there, and remove the state.

    Args:
        layout: The state of the cluster that has ended.

    Raises:
        ClusterError: Something is left.
    """
    _disconnect()
    with contextlib.suppress(OSError, ValueError):
        for name, value in json.loads((layout.run / "sysctls.json").read_text()).items():
            _sysctl(name).write_text(value)
    for mount in _mounts_below(layout.root):
        run("umount", "--lazy", mount)
    if not wait_until(_remove_cgroups, 10):
        raise ClusterError(f"the cgroup {CGROUP} is still in use")
    shutil.rmtree(layout.root, ignore_errors=True)
    if layout.root.exists():
        raise ClusterError(f"{layout.root} cannot be removed")


def _disconnect() -> None:
    link = Path("/sys/class/net") / LINK
    if link.exists():
        run("ip", "link", "delete", LINK, check=False)  # with its address and routes; the kernel may be quicker
        if not wait_until(lambda: not link.exists(), 5):
            raise ClusterError(f"the network link {LINK} cannot be removed")
    if shutil.which("iptables-save"):
        for table in ("nat", "filter"):
            for rule in run("iptables-save", "-t", table).splitlines():
                if rule.startswith("-A") and f"--comment {_COMMENT}" in rule:
                    run("iptables", "-w", "-t", table, "-D", *rule.split()[1:])


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return sorted({Path(mount[1]).resolve() for mount in mounts if mount[2] in {"cgroup", "cgroup2"}})


def _remove_cgroups() -> bool:
    """Remove the cgroups, deepest first; whether none is left."""
    left = False
    for root in [_CGROUPS, *_hierarchies()]:
        top = root / CGROUP
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        left = left or top.exists()
    return not left


def _mounts_below(folder: Path) -> list[str]:
    """List mounts, deepest first; there are none unless somebody shared the node's with the machine."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in _mountinfo()]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), key=len, reverse=True)


def _mountinfo() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()
