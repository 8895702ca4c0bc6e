"""What the programs in a namespace may do, kept by the operator: ServiceAccounts, Roles and a NetworkPolicy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import ServiceAccount
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.networking_v1 import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.models.rbac_v1 import PolicyRule, Role, RoleBinding, RoleRef, Subject

from comfyard.api.meta import ANNOTATION_IMAGE, GROUP, LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY
from comfyard.kube.kinds import NETWORK_POLICY, ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Kind, Obj

AGENT = "comfyard-agent"
SYNC = "comfyard-sync"
COMPONENT_SERVER = "server"
COMPONENT_SYNC = "sync"

_DNS_PORT = 53
_ANYWHERE = {
    4: IPBlock(cidr="0.0.0.0/0", except_=["169.254.0.0/16"]),
    6: IPBlock(cidr="::/0", except_=["fe80::/10"]),
}
"""All addresses but link-local ones, where clouds serve a node's credentials; by IP version."""


@dataclass(frozen=True)
class Named:
    """Objects of a namespace that our programs in it may use, by name; they may use no others of these kinds.

    Attributes:
        job_secrets: Secrets that its unfinished jobs name, for agents.
        bundle_secrets: Secrets that its bundles name, for store syncs.
        inventories: ConfigMaps that store syncs write.
        node_reports: ConfigMaps that agents write.
    """

    job_secrets: Collection[str] = ()
    bundle_secrets: Collection[str] = ()
    inventories: Collection[str] = ()
    node_reports: Collection[str] = ()


def build_access(
    namespace: str, named: Named, families: Sequence[int] = (4,), image: str = ""
) -> list[tuple[Kind, Obj]]:
    """Everything that a namespace needs before our programs run in it.

    Args:
        namespace: The namespace of the jobs or bundles.
        named: What they may use in it.
        families: IP versions of the cluster's pods. Rules for others make some policy engines refuse all rules.
        image: That our programs run, told to people who want to read a claim with it.
    """
    agent = [
        PolicyRule(apiGroups=[GROUP], resources=["generationjobs"], verbs=["get", "list", "watch"]),
        PolicyRule(apiGroups=[GROUP], resources=["generationjobs/status"], verbs=["patch"]),
        PolicyRule(apiGroups=["apps"], resources=["controllerrevisions"], verbs=["get"]),
        *_by_name("secrets", named.job_secrets, "get"),
        *_by_name("configmaps", named.node_reports, "get", "patch"),
    ]
    sync = [
        PolicyRule(apiGroups=[GROUP], resources=["modelbundles"], verbs=["get", "list", "watch"]),
        PolicyRule(apiGroups=[GROUP], resources=["modelbundles/status"], verbs=["patch"]),
        PolicyRule(apiGroups=[""], resources=["events"], verbs=["create"]),
        *_by_name("secrets", named.bundle_secrets, "get"),
        *_by_name("configmaps", named.inventories, "get", "patch"),
    ]
    return [
        *_program(namespace, AGENT, agent, image),
        *_program(namespace, SYNC, sync, image),
        (NETWORK_POLICY, _isolate(namespace, families)),
    ]


def _by_name(resource: str, names: Collection[str], *verbs: str) -> list[PolicyRule]:
    """A rule without names would allow all."""
    if not names:
        return []
    return [PolicyRule(apiGroups=[""], resources=[resource], resourceNames=sorted(names), verbs=list(verbs))]


def _program(namespace: str, name: str, rules: list[PolicyRule], image: str) -> list[tuple[Kind, Obj]]:
    own = {LABEL_MANAGED_BY: MANAGED_BY}
    meta = ObjectMeta(name=name, namespace=namespace, labels=own)
    told = ObjectMeta(
        name=name, namespace=namespace, labels=own, annotations={ANNOTATION_IMAGE: image} if image else None
    )
    return [
        (SERVICE_ACCOUNT, ServiceAccount(metadata=told, automountServiceAccountToken=False).to_dict()),
        (ROLE, Role(metadata=meta, rules=rules).to_dict()),
        (
            ROLE_BINDING,
            RoleBinding(
                metadata=meta,
                roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name=name),
                subjects=[Subject(kind="ServiceAccount", name=name, namespace=namespace)],
            ).to_dict(),
        ),
    ]


def _isolate(namespace: str, families: Sequence[int]) -> Obj:
    """Nobody reaches our pods but kubelet's probes; they reach DNS, the API server and stores, not cloud metadata."""
    return NetworkPolicy(
        metadata=ObjectMeta(name="comfyard", namespace=namespace, labels={LABEL_MANAGED_BY: MANAGED_BY}),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels={LABEL_MANAGED_BY: MANAGED_BY}),
            policyTypes=["Ingress", "Egress"],
            ingress=[],
            egress=[
                NetworkPolicyEgressRule(
                    ports=[
                        NetworkPolicyPort(port=_DNS_PORT, protocol="UDP"),
                        NetworkPolicyPort(port=_DNS_PORT, protocol="TCP"),
                    ]
                ),
                NetworkPolicyEgressRule(to=[NetworkPolicyPeer(ipBlock=_ANYWHERE[family]) for family in families]),
            ],
        ),
    ).to_dict()


def labels(component: str) -> dict[str, str]:
    """Labels of our pods, which the NetworkPolicy and the operator's watches select."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_COMPONENT: component}
