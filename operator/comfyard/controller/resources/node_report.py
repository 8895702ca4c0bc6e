"""Where a kind of server tells its node classes: a ConfigMap that the operator makes and the servers' agents fill.

A kind is an image with its arguments and environment, and custom nodes at their commits.
"""

import json
from collections.abc import Iterable
from contextlib import suppress

from lightkube.models.core_v1 import ConfigMap
from lightkube.models.meta_v1 import ObjectMeta

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.resources.access import labels
from comfyard.kube.kinds import Obj
from comfyard.workflow.digest import digest

REPORT_LABELS = labels("nodes")
"""What these ConfigMaps carry; the operator follows no others."""

ENVIRONMENT = "COMFYARD_NODE_REPORT"
"""Variable of the agent: the ConfigMap's name."""

_HASH_PART = 16

Package = tuple[str, str]
"""A package of custom nodes: its folder and its commit."""


def server_key(profile: HardwareProfile) -> str:
    """Digest of all in a profile that may change the node classes of its servers."""
    server = profile.spec.server.to_api()
    return digest({key: server.get(key) for key in ("image", "command", "args", "env")})


def report_name(profile: HardwareProfile, packages: Iterable[Package]) -> str:
    """The name of the ConfigMap, the same in each namespace."""
    return f"comfyard-nodes-{digest([server_key(profile), sorted(set(packages))])[-_HASH_PART:]}"


def build_report(namespace: str, profile: HardwareProfile, packages: Iterable[Package]) -> Obj:
    """The ConfigMap, empty yet."""
    packages = sorted(set(packages))
    return ConfigMap(
        metadata=ObjectMeta(name=report_name(profile, packages), namespace=namespace, labels=REPORT_LABELS),
        data={
            "image": profile.spec.server.image,
            "server": server_key(profile),
            "customNodes": json.dumps(packages, separators=(",", ":")),
        },
    ).to_dict()


def packages_of(report: Obj) -> set[Package] | None:
    """The custom nodes that a report is about; None when somebody has made it unreadable."""
    with suppress(KeyError, ValueError, TypeError, RecursionError):
        return {(str(name), str(commit)) for name, commit in json.loads(report["data"]["customNodes"])}
    return None


def reporting_pod(pod: Obj) -> tuple[str, str] | None:
    """The report that a server's agent fills, and the digest of the image that it is about; None: not known yet."""
    environment = (each for c in pod["spec"]["containers"] if c["name"] == "agent" for each in c.get("env", []))
    name = next((each.get("value") for each in environment if each["name"] == ENVIRONMENT), None)
    statuses = pod.get("status", {}).get("containerStatuses") or []
    image = next((each.get("imageID") for each in statuses if each["name"] == "comfyui"), None)
    return (name, image) if name and image else None
