"""What holds for every pass, whatever it sees."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfyard.controller.affinity import PASS_SECONDS
from comfyard.controller.pools import Server
from comfyard.controller.queue import Demand, JobKey
from comfyard.controller.scheduler import schedule
from comfyard.controller.snapshot import Limits, Schedule, Snapshot
from tests.builders import NOW
from tests.unit.controller.fleets import demand, hardware, key, pool, server, snapshot, starting

MANY = settings(max_examples=200, deadline=None)

POOLS = [
    pool("studio"),
    pool("studio", "shared"),
    pool("atelier"),
    pool("studio", profile_name="a100"),
    pool("atelier", profile_name="a100"),
]
MODELS = ["", "m", "n", "m n", "o"]

PROFILES = st.fixed_dictionaries(
    {
        "maxServers": st.integers(1, 5),
        "minServers": st.integers(0, 1),
        "queueDepth": st.integers(1, 3),
        "jobsPerServer": st.sampled_from([0, 0, 3]),
    }
)
JOBS = st.lists(
    st.tuples(st.sampled_from(POOLS), st.sampled_from([0, 0, 1]), st.integers(0, 400), st.sampled_from(MODELS)),
    max_size=25,
)
SERVERS = st.lists(
    st.fixed_dictionaries(
        {
            "pool": st.sampled_from(POOLS),
            "state": st.sampled_from(["ready", "ready", "starting", "leaving", "unready", "failing"]),
            "jobs": st.integers(0, 3),
            "models": st.sampled_from(MODELS),
            "age": st.integers(0, 300),
            "done": st.integers(0, 4),
            "shape": st.sampled_from([{}, {}, {"shape": "former"}]),
        }
    ),
    max_size=8,
)
LIMITS = st.dictionaries(
    st.sampled_from(["studio", "atelier"]),
    st.builds(Limits, jobs=st.sampled_from([None, 1, 3]), servers=st.sampled_from([None, 1, 3])),
    max_size=1,
)
SECONDS = st.dictionaries(st.sampled_from([key(each) for each in POOLS]), st.sampled_from([0.1, 5.0, 60.0]))


def _server(name: str, of: Mapping[str, Any]) -> Server:
    state, jobs, more = of["state"], of["jobs"], {"done": of["done"], **of["shape"]}
    if state in {"starting", "failing"} or (state == "unready" and not jobs):
        return starting(name, of["pool"], of["age"], fails_at=NOW if state == "failing" else None, **more)
    if state == "unready":
        since = NOW - timedelta(seconds=of["age"])
        return server(name, of["pool"], jobs=jobs, ready=False, unready_since=since, **more)
    leaving = state == "leaving"
    return server(
        name, of["pool"], jobs=jobs, idle=of["age"], models=of["models"], warm=of["age"], leaving=leaving, **more
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    waiting = [
        demand(f"j{number:02}", where, waited, models, priority=priority)
        for number, (where, priority, waited, models) in enumerate(draw(JOBS))
    ]
    servers = [_server(f"s{number}", each) for number, each in enumerate(draw(SERVERS))]
    profiles = {name: hardware(name, **draw(PROFILES)) for name in ("l4", "a100")}
    return snapshot(waiting, servers, profiles, limits=draw(LIMITS), seconds=draw(SECONDS))


def waiting_of(seen: Snapshot) -> dict[JobKey, Demand]:
    return {each.job: each for group in seen.queue.groups().values() for each in group}


@MANY
@given(snapshots())
def test_jobs_go_to_servers_of_their_pool_that_are_ready_and_have_a_place(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    waiting, servers = waiting_of(seen), {each.name: each for each in seen.servers}
    for job, taken in result.assign.items():
        assert (taken.namespace, taken.pool) == key(waiting[job].pool)
        assert servers[taken.name].ready
        assert not servers[taken.name].leaving
    for name, count in Counter(taken.name for taken in result.assign.values()).items():
        spec, each = seen.profiles[servers[name].profile].spec.pool, servers[name]
        assert len(each.jobs) + count <= spec.queue_depth
        assert not spec.jobs_per_server or each.done + len(each.jobs) + count <= spec.jobs_per_server


@MANY
@given(snapshots())
def test_only_servers_without_a_job_are_retired_and_each_once(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    names = [each.server.name for each in result.retire]
    assert len(names) == len(set(names))
    assert not [each for each in result.retire if each.server.jobs]
    assert not set(names) & {taken.name for taken in result.assign.values()}


@MANY
@given(snapshots())
def test_limits_hold(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    gone = {each.server.name for each in result.retire}
    there = [each for each in seen.servers if not each.leaving]
    stay = [each for each in there if each.name not in gone]
    for name, profile in seen.profiles.items():
        grown = sum(each.profile == name for each in result.grow)
        assert not grown or sum(s.profile == name for s in stay) + grown <= profile.spec.pool.max_servers
    for namespace, limits in seen.limits.items():
        grown = sum(each.namespace == namespace for each in result.grow)
        if limits.servers is not None:
            assert not grown or sum(s.namespace == namespace for s in stay) + grown <= limits.servers
        given = sum(job[0] == namespace for job in result.assign)
        if limits.jobs is not None:
            running = sum(len(s.jobs) for s in seen.servers if s.namespace == namespace)
            assert not given or running + given <= limits.jobs


@MANY
@given(snapshots())
def test_no_job_passes_one_of_higher_priority_and_others_only_within_the_bound(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    waiting, servers = waiting_of(seen), {each.name: each for each in seen.servers}
    left = [each for job, each in waiting.items() if job not in result.assign]
    for job, taken in result.assign.items():
        passed = [each for each in left if each.pool == waiting[job].pool and each.order < waiting[job].order]
        assert not [each for each in passed if each.priority > waiting[job].priority]
        if passed and waiting[job].models != min(passed, key=lambda d: d.order).models:
            began = servers[taken.name].warm_since
            fresh = not waiting[job].models <= servers[taken.name].models  # it begins with these models in this pass
            assert fresh or not waiting[job].models or (began and NOW - began <= timedelta(seconds=PASS_SECONDS))


@MANY
@given(snapshots())
def test_no_idle_server_is_left_without_a_job_that_it_may_run(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    seen_jobs = {namespace: limits.jobs for namespace, limits in seen.limits.items()}
    busy = {taken.name for taken in result.assign.values()} | {each.server.name for each in result.retire}
    for each in seen.servers:
        limit = seen.profiles[each.profile].spec.pool.jobs_per_server
        takes = each.is_idle and each.shape != "former" and not 0 < limit <= each.done
        if takes and each.name not in busy and seen_jobs.get(each.namespace) is None:
            left = [d for job, d in waiting_of(seen).items() if job not in result.assign]
            assert not [d for d in left if key(d.pool) == (each.namespace, each.pool)]


@MANY
@given(snapshots())
def test_every_job_that_is_left_is_told_why_in_words_that_stay(seen: Snapshot) -> None:
    result = schedule(seen, NOW)
    left = {key(each.pool) for job, each in waiting_of(seen).items() if job not in result.assign}
    assert result.blocked.keys() == left
    later = schedule(replace(seen, servers=list(reversed(seen.servers))), NOW)
    assert later.blocked == result.blocked


@MANY
@given(snapshots())
def test_a_pass_over_its_own_result_orders_nothing(seen: Snapshot) -> None:
    results = [schedule(seen, NOW)]
    for _ in range(3):
        seen = after(seen, results[-1], len(results))
        results.append(schedule(seen, NOW))
    assert not results[-1].grow
    assert not results[-1].retire
    for before, later in pairwise(results):
        assert not before.assign.keys() & later.assign.keys()


def after(seen: Snapshot, result: Schedule, number: int) -> Snapshot:
    """The same moment, with everything carried out."""
    gone = {each.server.name for each in result.retire}
    given: dict[str, list[JobKey]] = {}
    for job, taken in result.assign.items():
        given.setdefault(taken.name, []).append(job)
    servers = []
    for each in seen.servers:
        if each.name in gone:
            each = replace(each, leaving=True, over=False)  # noqa: PLW2901 - the same server, later
        elif each.name in given:
            last = seen.queue.get(given[each.name][-1])
            models = last.models if last else each.models
            jobs = (*each.jobs, *given[each.name])
            each = replace(each, jobs=jobs, models=models, warm_since=NOW, idle_since=None)  # noqa: PLW2901 - likewise
        servers.append(each)
    servers += [
        starting(f"new-{number}-{index}", where, 0, of=seen.profiles[where.profile])
        for index, where in enumerate(result.grow)
    ]
    left = [each for job, each in waiting_of(seen).items() if job not in result.assign]
    return snapshot(left, servers, seen.profiles, limits=seen.limits, seconds=seen.seconds)
