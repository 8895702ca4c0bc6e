"""Pools: the servers that are alike, and so can stand in for one another."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from comfyard.api.attempts import parse_time
from comfyard.api.hardware_profile import HardwareProfile, HardwareProfileSpec
from comfyard.api.meta import LABEL_POOL, LABEL_PROFILE, LABEL_SHAPE
from comfyard.controller import pods, server_trouble
from comfyard.controller.trouble import Trouble
from comfyard.kube.kinds import Obj, name_of, namespace_of
from comfyard.workflow.digest import digest
from comfyard.workflow.memo import Memo

_PROFILE_PART = 40

COMFYUI = "comfyui"
"""The container of a server pod that renders."""

LOST_SECONDS = 20
"""A server that is not Ready for so long is lost. Longer than an agent's drain and its restart; shorter than the time
after which an agent without the API server stops by itself, which only costs a second rendering, never a second result:
who has lost the assignment cannot write."""

_LAST_WORD_SECONDS = 5
"""After the grace of a pod that is being deleted: for its agent's last write to be seen."""


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
        nodes: Custom nodes, in order; each claim is one of model_claims.
        input_claims: Mounted read-only for the agent to take inputs from, in order; results_claim is anyway.
    """

    namespace: str
    profile: str
    model_claims: tuple[str, ...]
    results_claim: str
    nodes: tuple[Node, ...] = ()
    input_claims: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """A label value and the first part of its pods' names."""
        parts = [self.namespace, self.profile, self.model_claims, self.results_claim]
        more = [self.nodes, self.input_claims] if self.nodes or self.input_claims else []
        key = digest([*parts, *more])
        return f"{self.profile[:_PROFILE_PART].rstrip('-.').replace('.', '-')}-{key[-8:]}"

    @property
    def packages(self) -> set[tuple[str, str]]:
        """The custom nodes by folder and commit, whichever claim holds them."""
        return {(node.name, node.commit) for node in self.nodes}

    @property
    def claims(self) -> tuple[str, ...]:
        """All that its servers mount, each once."""
        results = (self.results_claim,) if self.results_claim else ()
        return tuple(dict.fromkeys((*self.model_claims, *results, *self.input_claims)))


def shape_of(profile: HardwareProfile) -> str:
    """Label value: digest of what a server of the profile is. One that was made by another digest is outdated."""
    return _SHAPES.get((profile,), lambda: _shape(profile.spec))


_SHAPES: Memo[str] = Memo(512)


def _shape(spec: HardwareProfileSpec) -> str:
    server = {key: value for key, value in spec.server.to_api().items() if key != "startupSeconds"}
    warm_up = spec.pool.warm_up.to_api() if spec.pool.warm_up else None
    return digest([server, spec.gpu.to_api(), spec.placement.to_api(), spec.mmap, spec.queue_name, warm_up])[-16:]


@dataclass(frozen=True)
class Server:
    """A server pod, as far as scheduling is concerned.

    Attributes:
        leaving: It gets no new job: it is being deleted, or its containers have ended.
        over: Its containers have ended for good, as after an eviction; the object is all that is left.
        unready_since: Since when it is not Ready; None while it is, or waits for quota.
        shape: What its profile was when it was made, see `shape_of`.
        jobs: The unfinished jobs that are assigned to it, as (namespace, name), the earliest assignment first.
        models: SHA-256 of the model files that it has in memory once these are done, as far as that is known.
        warm_since: When the first of the jobs in a row that use these began, or was assigned.
        done: Jobs that it has ended.
        idle_since: When it had nothing to do last; None while it starts or works.
        trouble: Why it does not start, if it says so, and what to do about it.
        reason: One word for that.
        fails_at: From when on it counts as one that cannot start; None: it only takes its time.
        drained_at: When the agent of a pod that is being deleted is done at the latest.
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
    shape: str = ""
    jobs: tuple[tuple[str, str], ...] = ()
    models: frozenset[str] = frozenset()
    warm_since: datetime | None = None
    done: int = 0
    idle_since: datetime | None = None
    trouble: str | None = None
    reason: str = ""
    fails_at: datetime | None = None
    drained_at: datetime | None = None
    killed_at: datetime | None = None
    image: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it could begin a job now."""
        return self.ready and not self.leaving and not self.jobs

    @property
    def waits_for_quota(self) -> bool:
        """Whether nothing of it runs before Kueue lets it: it costs nothing to take back, and a GPU to forget."""
        return self.reason == pods.WAITING_FOR_QUOTA

    @property
    def lost_at(self) -> datetime | None:
        """When its job goes elsewhere, unless it is Ready again by then; None while it is Ready."""
        if self.over:
            return datetime.min.replace(tzinfo=UTC)
        if self.unready_since is None:
            return None
        lost = self.unready_since + timedelta(seconds=LOST_SECONDS)
        return max(lost, self.drained_at) if self.drained_at else lost


@dataclass(frozen=True)
class Load:
    """What is known of a server from jobs.

    Attributes:
        jobs: See `Server`.
        models: See `Server`.
        warm_since: See `Server`.
        done: See `Server`.
        last_end: When the last attempt on it ended.
    """

    jobs: tuple[tuple[str, str], ...] = ()
    models: frozenset[str] = frozenset()
    warm_since: datetime | None = None
    done: int = 0
    last_end: datetime | None = None


def observe_server(pod: Obj, load: Load, told: Trouble | None = None) -> Server:
    """A Server from its pod, from what jobs tell of it, and from what events tell of its being set up."""
    labels = pod["metadata"].get("labels", {})
    ready = pods.is_ready(pod)
    trouble = None if ready else server_trouble.trouble(pod, labels.get(LABEL_PROFILE, ""), told)
    idle_since = None
    since = pods.ready_transition(pod)
    unready_since = None if ready else since or pods.starting_since(pod)
    if ready and not load.jobs and since:
        idle_since = max(parse_time(since), load.last_end) if load.last_end else parse_time(since)
    cold = _is_cold(pod, load)
    return Server(
        namespace=namespace_of(pod),
        name=name_of(pod),
        pool=labels.get(LABEL_POOL, ""),
        profile=labels.get(LABEL_PROFILE, ""),
        ready=ready,
        leaving=pods.is_deleting(pod) or pods.is_over(pod),
        over=pods.is_over(pod) and not pods.is_deleting(pod),
        unready_since=parse_time(unready_since) if unready_since else None,
        shape=labels.get(LABEL_SHAPE, ""),
        jobs=load.jobs,
        models=frozenset() if cold else load.models,
        warm_since=None if cold else load.warm_since,
        done=load.done,
        idle_since=idle_since,
        trouble=trouble.message if trouble else None,
        reason=trouble.reason if trouble else "",
        fails_at=server_trouble.fails_at(pod, trouble) if trouble else None,
        drained_at=_drained_at(pod),
        killed_at=parse_time(killed) if (killed := pods.killed_for_memory(pod, COMFYUI)) else None,
        image=pods.image_of(pod, COMFYUI),
    )


def _is_cold(pod: Obj, load: Load) -> bool:
    """Whether ComfyUI was started again after its last job, and so has nothing in memory."""
    started = pods.started_at(pod, COMFYUI)
    return bool(started and load.last_end and not load.jobs and parse_time(started) > load.last_end)


def _drained_at(pod: Obj) -> datetime | None:
    """The time of deletion is when the grace is over, and that begins earlier than the last write of the agent."""
    if not pods.is_deleting(pod) or pods.is_over(pod):
        return None
    return parse_time(pod["metadata"]["deletionTimestamp"]) + timedelta(seconds=_LAST_WORD_SECONDS)
