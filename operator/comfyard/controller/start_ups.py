"""Pools whose servers fail to start: how long to wait before the next one is tried, and whom that concerns.

What is known here is of this process alone. After a restart of the operator each failing pool is tried once more at
once, which does no harm.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller import server_trouble
from comfyard.controller.pools import Server, shape_of
from comfyard.controller.queue import PoolKey
from comfyard.controller.trouble import Trouble

_BASE_SECONDS = 10
_CAP_SECONDS = 300

_FORGET_SECONDS = 600
"""After the pause, when nobody has asked for another server: what kept the last one from starting may be over, and so
may its namespace."""


@dataclass
class _Start:
    """One server's way to being ready.

    Attributes:
        why: It fails; None while it may yet succeed.
        settled: It was ready once, or its failure is counted.
    """

    why: Trouble | None = None
    settled: bool = False


@dataclass
class _Record:
    """The start-ups of one pool, of servers of one shape.

    Attributes:
        starts: By name of the server.
        failures: How many have failed, one after the other.
        last: Why the last of them did.
        not_before: When the next may be made.
    """

    profile: str
    shape: str
    starts: dict[str, _Start] = field(default_factory=dict)
    failures: int = 0
    last: Trouble | None = None
    not_before: datetime | None = None

    def succeed(self) -> None:
        self.failures, self.last, self.not_before = 0, None, None

    def fail(self, why: Trouble, now: datetime) -> None:
        """10 s, 20 s, 40 s … up to 5 minutes until the next one."""
        self.not_before = now + timedelta(seconds=min(_CAP_SECONDS, _BASE_SECONDS * 2**self.failures))
        self.failures += 1
        self.last = why


class StartUps:
    """What was seen of servers starting.

    Attributes:
        broken: Pools none of whose servers is ready, and where one has failed to start: why.
        not_before: Pools that may not grow before then.
        look_at: When the next server counts as failing, or a failure as forgotten, if all goes on as it is.
    """

    def __init__(self) -> None:
        self.broken: dict[PoolKey, Trouble] = {}
        self.not_before: dict[PoolKey, datetime] = {}
        self.look_at: datetime | None = None
        self._records: dict[PoolKey, _Record] = {}

    def broken_of(self, profile: str) -> dict[PoolKey, Trouble]:
        """The broken pools of one profile."""
        return {key: why for key, why in self.broken.items() if self._records[key].profile == profile}

    def broken_in(self, namespace: str) -> dict[str, Trouble]:
        """The broken pools of one namespace, by name."""
        return {name: why for (where, name), why in self.broken.items() if where == namespace}

    def see(self, servers: Iterable[Server], profiles: Mapping[str, HardwareProfile], now: datetime) -> None:
        """Take in all servers as they are now. Those of a profile as it was before it changed tell nothing any more."""
        shapes = {name: shape_of(profile) for name, profile in profiles.items()}
        pools: dict[PoolKey, list[Server]] = {}
        for server in servers:
            if server.shape == shapes.get(server.profile):
                pools.setdefault((server.namespace, server.pool), []).append(server)
        self._records = {key: r for key, r in self._records.items() if r.shape == shapes.get(r.profile)}
        for key, members in pools.items():
            self._records.setdefault(key, _Record(members[0].profile, members[0].shape))
        self.broken, self.not_before, self.look_at = {}, {}, None
        for key, record in self._records.items():
            self._look(record, pools.get(key, []), profiles[record.profile].spec.server.startup_seconds, now)
            self._judge(key, record, pools.get(key, []), profiles[record.profile].spec.server.startup_seconds, now)
        for key in [key for key in self._records if key not in pools and self._is_over(self._records[key], now)]:
            del self._records[key]
            self.broken.pop(key, None)

    def refused(self, key: PoolKey, profile: HardwareProfile, why: Trouble, now: datetime) -> None:
        """The API server did not take a server of the pool: a quota, an admission policy."""
        record = self._records.setdefault(key, _Record(profile.metadata.name, shape_of(profile)))
        record.fail(why, now)
        self._judge(key, record, (), profile.spec.server.startup_seconds, now)

    def _look(self, record: _Record, members: Sequence[Server], startup_seconds: int, now: datetime) -> None:
        there = {server.name for server in members}
        for name in [name for name in record.starts if name not in there]:
            start = record.starts.pop(name)
            if start.why and not start.settled:
                record.fail(start.why, now)
        for server in members:
            start = record.starts.setdefault(server.name, _Start())
            if server.ready:
                start.why, start.settled = None, True
                record.succeed()
            elif not start.settled:
                start.why = self._why(server, startup_seconds, now) or (start.why if server.leaving else None)
                if server.leaving:
                    start.settled = True
                    if start.why:
                        record.fail(start.why, now)

    def _is_over(self, record: _Record, now: datetime) -> bool:
        """Whether a pool without servers has nothing to tell any more."""
        if record.not_before is None:
            return True
        forget = record.not_before + timedelta(seconds=_FORGET_SECONDS)
        if forget > now:
            self._come_back(forget)
        return forget <= now

    def _come_back(self, at: datetime) -> None:
        self.look_at = min(at, self.look_at or at)

    def _why(self, server: Server, startup_seconds: int, now: datetime) -> Trouble | None:
        """Why a server that was never ready has failed; None: it has not."""
        if server.fails_at and server.fails_at > now:
            self._come_back(server.fails_at)
        elif server.fails_at:
            return Trouble(server.reason, server.trouble or "")
        if server.unready_since and server.unready_since + timedelta(seconds=startup_seconds) <= now:
            message = f"not ready within spec.server.startupSeconds, {startup_seconds}, of profile {server.profile}"
            return Trouble("StartTimeout", f"{message}; its log may tell why")
        return None

    def _judge(
        self, key: PoolKey, record: _Record, members: Sequence[Server], startup_seconds: int, now: datetime
    ) -> None:
        if any(server.ready and not server.leaving for server in members):
            return
        failing = next((s for s in members if (each := record.starts[s.name]).why and not each.settled), None)
        why = record.starts[failing.name].why if failing else record.last
        if why:
            self.broken[key] = why
        if failing and failing.unready_since and not server_trouble.may_pass(failing.reason):
            # Others would fail like it; it is replaced then.
            self.not_before[key] = failing.unready_since + timedelta(seconds=startup_seconds)
        elif record.not_before and now < record.not_before:
            self.not_before[key] = record.not_before
