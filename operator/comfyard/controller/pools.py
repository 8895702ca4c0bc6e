"""Pools: the servers that are alike, and so can stand in for one another."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from comfyard.api.attempts import parse_time
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_POOL, LABEL_PROFILE
from comfyard.controller import pods
from comfyard.kube.kinds import Obj, name_of, namespace_of
from comfyard.workflow.digest import digest

_PROFILE_PART = 40

COMFYUI = "comfyui"
"""The container of a server pod that renders."""

LOST_SECONDS = 20
"""A server that is not Ready for so long is lost. Longer than an agent's drain and its restart; shorter than the time
after which an agent without the API server stops by itself, which only costs a second rendering, never a second result:
who has lost the assignment cannot write."""


class Node(NamedTuple):
    """A package of custom nodes: its folder in custom_nodes, the commit that it is, and the claim that holds it."""

    name: str
    commit: str
    claim: str


@dataclass(frozen=True, order=True)
class Pool:
    """What makes servers alike.

    Attributes:
        model_claims: Mounted read-only, in this order of precedence.
        results_claim: Mounted for the agent to store results; empty when they go to S3.
        shape: Digest of the profile's server, GPUs and placement: a changed profile makes new pools, and the servers of
            the old ones go when they are idle.
        nodes: Custom nodes, in order; each claim is one of model_claims.
        input_claims: Mounted read-only for the agent to take inputs from, in order; results_claim is anyway.
    """

    namespace: str
    profile: str
    model_claims: tuple[str, ...]
    results_claim: str
    shape: str
    nodes: tuple[Node, ...] = ()
    input_claims: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A label value and the first part of its pods' names."""
        parts = [self.namespace, self.profile, self.model_claims, self.results_claim, self.shape]
        more = [self.nodes, self.input_claims] if self.nodes or self.input_claims else []
        key = digest([*parts, *more])
        return f"{self.profile[:_PROFILE_PART].rstrip('-.').replace('.', '-')}-{key[-8:]}"

    @property
    def packages(self) -> set[tuple[str, str]]:
        """The custom nodes by folder and commit, whichever claim holds them."""
        return {(node.name, node.commit) for node in self.nodes}


def shape_of(profile: HardwareProfile) -> str:
    """Digest of what a server of the profile is."""
    spec = profile.spec
    server = {key: value for key, value in spec.server.to_api().items() if key != "startupSeconds"}
    return digest([server, spec.gpu.to_api(), spec.placement.to_api()])


@dataclass(frozen=True)
class Server:
    """A server pod, as far as scheduling is concerned.

    Attributes:
        leaving: It gets no new job: it is being deleted, or its containers have ended.
        over: Its containers have ended for good, as after an eviction; the object is all that is left.
        unready_since: Since when it is not Ready; None while it is.
        job: The unfinished job that is assigned to it, as (namespace, name).
        idle_since: When it had nothing to do last; None while it starts or works.
        trouble: Why it does not start, if it says so.
        killed_at: When its ComfyUI was killed for memory last.
        image: Of its ComfyUI, by digest; empty while that is not known.
    """

    namespace: str
    name: str
    pool: str
    profile: str
    ready: bool
    leaving: bool
    over: bool = False
    unready_since: datetime | None = None
    job: tuple[str, str] | None = None
    idle_since: datetime | None = None
    trouble: str | None = None
    killed_at: datetime | None = None
    image: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it can take a job now."""
        return self.ready and not self.leaving and self.job is None

    @property
    def lost_at(self) -> datetime | None:
        """When its job goes elsewhere, unless it is Ready again by then; None while it is Ready."""
        if self.over:
            return datetime.min.replace(tzinfo=UTC)
        return self.unready_since + timedelta(seconds=LOST_SECONDS) if self.unready_since else None


def observe_server(pod: Obj, job: tuple[str, str] | None, last_end: datetime | None) -> Server:
    """A Server from its pod, the job assigned to it, and the end of the last attempt on it."""
    labels = pod["metadata"].get("labels", {})
    ready = pods.is_ready(pod)
    trouble = None if ready else pods.trouble(pod)
    idle_since = None
    since = pods.ready_transition(pod)
    if ready and job is None and since:
        idle_since = max(parse_time(since), last_end) if last_end else parse_time(since)
    return Server(
        namespace=namespace_of(pod),
        name=name_of(pod),
        pool=labels.get(LABEL_POOL, ""),
        profile=labels.get(LABEL_PROFILE, ""),
        ready=ready,
        leaving=pods.is_deleting(pod) or pods.is_over(pod),
        over=pods.is_over(pod) and not pods.is_deleting(pod),
        unready_since=None if ready else parse_time(since or pod["metadata"]["creationTimestamp"]),
        job=job,
        idle_since=idle_since,
        trouble=trouble.message if trouble else None,
        killed_at=parse_time(killed) if (killed := pods.killed_for_memory(pod, COMFYUI)) else None,
        image=pods.image_of(pod, COMFYUI),
    )
