"""What happens to a GenerationJob: accepted or not, waiting for what, assigned, retried, ended, deleted."""

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from comfyard.api.attempts import explain_loss, parse_time
from comfyard.api.conditions import COMPLETE, FAILED, timestamp
from comfyard.api.generation_job import FailureClass, GenerationJob, GenerationJobStatus, Receipt
from comfyard.controller.job_acceptance import accept
from comfyard.controller.job_observed import Observed, Wait, Wrong
from comfyard.controller.job_profiles import choose
from comfyard.controller.job_status import Status, failed, suspended, waiting, with_fit, without_assignment
from comfyard.controller.pools import Server
from comfyard.controller.queue import Demand
from comfyard.controller.retry import GiveUp, after_attempts


@dataclass(frozen=True)
class Plan:
    """What to do about one job.

    Attributes:
        status: What the status should be.
        demand: Set when the job could run, if it had a server.
        receipt: What the assignment to a server writes into status, besides.
        after: Look again in so many seconds.
        delete: Its time after the end is over.
        waits: It waits for something else than a server, which changes nothing but words once it is accepted.
    """

    status: Status
    demand: Demand | None = None
    receipt: Receipt | None = None
    after: float | None = None
    delete: bool = False
    waits: bool = False


def plan(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    """Decide from what was observed. `status` is the job's status as it was read, unknown fields included."""
    if job.metadata.deletion_timestamp:
        return Plan(status)
    if job.is_finished():
        return _finished(job, status, seen, now)
    job, status = _explained(job, status, seen)
    if job.spec.suspend:
        return Plan(suspended(job, _ended(job, status, seen, now, "suspended"), now))
    deadline = _deadline(job)
    if deadline and now >= deadline:
        return _exceeded(job, status, seen, now)
    decided = _assigned(job, status, seen, now) if job.status.assignment else _unassigned(job, status, seen, now)
    return _no_later_than(deadline, decided, now)


def _explained(job: GenerationJob, status: Status, seen: Observed) -> tuple[GenerationJob, Status]:
    """The job with the cause of its last loss, if the server that it was lost with tells of one by now."""
    if not job.status.attempts or not seen.last_server:
        return job, status
    explained = explain_loss(job.status.attempts[-1], seen.last_server.killed_at)
    if explained is None:
        return job, status
    status = {**status, "attempts": [*status["attempts"][:-1], explained.to_api()]}
    return _with_status(job, status), status


def _with_status(job: GenerationJob, status: Status) -> GenerationJob:
    return job.model_copy(update={"status": GenerationJobStatus.model_validate(status)})


def _finished(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    """It stays as it is, but that kstatus takes an unobserved generation for unfinished; until its time is over."""
    observed = {**status, "observedGeneration": job.metadata.generation}
    seconds = job.spec.ttl_seconds_after_finished
    if seconds is None or seen.awaited:
        return Plan(observed)
    left = (_end(job) + timedelta(seconds=seconds) - now).total_seconds()
    return Plan(observed, after=left) if left > 0 else Plan(status, delete=True)


def _end(job: GenerationJob) -> datetime:
    """When it finished: the moment that the condition tells, as for Kubernetes' Jobs."""
    ends = (
        c.last_transition_time for c in job.status.conditions if c.type in {COMPLETE, FAILED} and c.status == "True"
    )
    return parse_time(next(ends))


def _deadline(job: GenerationJob) -> datetime | None:
    """When its time is over: begun with its first assignment, not while it is queued before that."""
    if job.status.start_time is None or job.spec.active_deadline_seconds is None:
        return None
    return parse_time(job.status.start_time) + timedelta(seconds=job.spec.active_deadline_seconds)


def _exceeded(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    message = f"not done within activeDeadlineSeconds, {job.spec.active_deadline_seconds}; order again with more"
    ended = _ended(job, status, seen, now, message, "DeadlineExceeded")
    return Plan(failed(job, ended, "DeadlineExceeded", message, now))


def _no_later_than(deadline: datetime | None, decided: Plan, now: datetime) -> Plan:
    """Look again when the deadline comes, if not earlier. What has just ended needs no look."""
    if deadline is None or "completionTime" in decided.status:
        return decided
    left = (deadline - now).total_seconds()
    return dataclasses.replace(decided, after=left if decided.after is None else min(left, decided.after))


def _assigned(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    """Leave it to its agent, as long as that lives."""
    left = _seconds_to_live(seen.server, now)
    if left > 0:
        observed = {**status, "observedGeneration": job.metadata.generation}
        return Plan(observed, after=None if left == math.inf else left)
    status = _ended(job, status, seen, now, _why_lost(job, seen), "ServerLost")
    return _unassigned(_with_status(job, status), status, seen, now)


def _unassigned(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    """Accept it, find out what it needs, and let it ask for a server when nothing else is missing."""
    verdict = after_attempts(job.status.attempts, job.spec.profiles, job.spec.backoff_limit)
    if isinstance(verdict, GiveUp):
        return Plan(failed(job, status, verdict.reason, verdict.message, now))
    try:
        status = {**status, **accept(job, seen)}
        placement = choose(job, status, verdict.profile, seen)
    except Wrong as wrong:
        return Plan(failed(job, status, wrong.reason, wrong.message, now))
    except Wait as wait:
        return Plan(waiting(job, status, "Pending", wait.reason, wait.message, now), waits=True)
    accepted = with_fit(job, {**status, "parameters": placement.parameters}, placement.fit, now)
    if verdict.not_before and now < verdict.not_before:
        return _back_off(job, accepted, verdict.not_before, now)
    demand = Demand(
        job=(job.metadata.namespace, job.metadata.name),
        pool=placement.pool,
        priority=job.spec.priority,
        created=job.metadata.creation_timestamp,
        models=placement.models,
        prefers=verdict.server,
    )
    return Plan(accepted, demand, placement.receipt)


def _back_off(job: GenerationJob, accepted: Status, until: datetime, now: datetime) -> Plan:
    message = f"tries again at {timestamp(until)}: {job.status.attempts[-1].message}"
    status = waiting(job, accepted, "Queued", "BackOff", message, now)
    return Plan(status, after=(until - now).total_seconds())


def _ended(
    job: GenerationJob, status: Status, seen: Observed, now: datetime, message: str, failure: FailureClass | None = None
) -> Status:
    profile = seen.profiles.get(job.status.assignment.profile) if job.status.assignment else None
    gpus = profile.spec.gpu.count if profile else 0
    return without_assignment(job, status, gpus, now, message, failure, seen.last_end)


def _seconds_to_live(server: Server | None, now: datetime) -> float:
    """Until the job's server is lost if it does not become Ready: infinite while it is, 0 when it is gone."""
    if server is None:
        return 0
    return math.inf if server.lost_at is None else max(0, (server.lost_at - now).total_seconds())


def _why_lost(job: GenerationJob, seen: Observed) -> str:
    assignment = job.status.assignment
    name = assignment.server if assignment else ""
    if seen.server is None:
        return f"server {name} is gone"
    return f"server {name} is not ready"
