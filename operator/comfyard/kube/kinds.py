"""The kinds that are read or written, as the API server names them."""

from dataclasses import dataclass
from typing import Any

from comfyard.api.meta import GROUP, VERSION

Obj = dict[str, Any]
"""An object in its JSON form."""


@dataclass(frozen=True)
class Kind:
    """One resource of the API server."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in an object: v1, apps/v1."""
        return f"{self.group}/{self.version}" if self.group else self.version


GENERATION_JOB = Kind(GROUP, VERSION, "GenerationJob", "generationjobs")
GENERATION_SWEEP = Kind(GROUP, VERSION, "GenerationSweep", "generationsweeps")
WORKFLOW_TEMPLATE = Kind(GROUP, VERSION, "WorkflowTemplate", "workflowtemplates")
MODEL_BUNDLE = Kind(GROUP, VERSION, "ModelBundle", "modelbundles")
HARDWARE_PROFILE = Kind(GROUP, VERSION, "HardwareProfile", "hardwareprofiles", namespaced=False)
POD = Kind("", "v1", "Pod", "pods")
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
EVENT = Kind("", "v1", "Event", "events")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
JOB = Kind("batch", "v1", "Job", "jobs")
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")


def name_of(obj: Obj) -> str:
    """metadata.name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    """metadata.namespace; empty for what is cluster-scoped."""
    return str(obj["metadata"].get("namespace", ""))
