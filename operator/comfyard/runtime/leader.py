"""One of several replicas of the operator leads: the loop around the decisions in `kube/lease.py`.

A Lease cannot stop a request that is under way, nor a process that the kernel has stopped between its last look at the
clock and its next request. What must not happen twice is written on the condition of a resourceVersion besides.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from comfyard.kube.errors import ApiError, ConflictError, NotFoundError
from comfyard.kube.kinds import LEASE, Obj
from comfyard.kube.lease import TERMS, Seen, Terms, free_at, given_back, holder, next_look, observe, still_leads, taken
from comfyard.kube.protocol import KubeClient

log = logging.getLogger(__name__)

LEASE_NAME = "comfyard"

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS has the former by the name of the latter


def seconds_since_boot() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps: other replicas do not sleep with it."""
    return time.clock_gettime(_CLOCK)


class Election:
    """A share in the leadership.

    The client should be used for nothing else: a renewal that waits for a connection behind a thousand other requests
    comes too late.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        identity: str,
        terms: Terms = TERMS,
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._terms = terms
        self._clock = clock
        self._seen: Seen | None = None
        self._renewed: float | None = None

    def leads(self) -> bool:
        """Whether this replica may write, at this moment."""
        return still_leads(self._renewed, self._clock(), self._terms)

    async def lead(self) -> None:
        """Return once this replica leads."""
        told = ""
        while not self.leads():
            state = await self._try()
            if state != told:
                log.info("Lease %s/%s: %s %s", self._namespace, LEASE_NAME, self._identity, state)
                told = state
            if not self.leads():
                await asyncio.sleep(next_look(self._seen, self._identity, self._clock(), self._terms))

    async def until_lost(self) -> None:
        """Renew the Lease for as long as that can be done; then this replica must not work any more."""
        while self._left() > 0:
            await asyncio.sleep(min(self._terms.renew_every, self._left()))
            try:
                async with asyncio.timeout(min(self._terms.request, self._left())):
                    await self._renew()
            except (ApiError, TimeoutError) as error:
                log.warning("cannot renew Lease %s/%s: %s", self._namespace, LEASE_NAME, _text(error))

    async def give_back(self) -> None:
        """Let another one lead at once. The caller has stopped working."""
        if not self.leads():
            return
        try:
            async with asyncio.timeout(min(self._terms.request, self._left())):
                lease = await self._client.get(LEASE, LEASE_NAME, self._namespace)
                if holder(lease) == self._identity:
                    await self._change(lease, given_back(datetime.now(UTC)))
        except (ApiError, TimeoutError) as error:
            log.warning("Lease %s/%s was not given back: %s", self._namespace, LEASE_NAME, _text(error))
        self._renewed = None

    def _left(self) -> float:
        """Seconds until the deadline; not more than 0 when it is over, or the Lease is somebody else's."""
        return 0 if self._renewed is None else self._renewed + self._terms.deadline - self._clock()

    async def _try(self) -> str:
        """Look at the Lease, and take it if it is free. Returns how that went, in words."""
        try:
            async with asyncio.timeout(self._terms.request):
                lease = await self._read()
                now = self._clock()
                self._seen = observe(self._seen, lease, now)
                if now >= free_at(self._seen, self._identity):
                    await self._take(lease)
                    return "leads"
                return f"stands by for {holder(lease)}"
        except (ApiError, TimeoutError) as error:
            return f"cannot take it: {_text(error)}"

    async def _renew(self) -> None:
        if not self.leads():
            return  # slept for too long; what follows would take the Lease anew
        lease = self._seen.lease if self._seen else None
        try:
            await self._take(lease)
        except (ConflictError, NotFoundError):  # somebody has written or deleted it; most likely not another replica
            lease = await self._read()
            if holder(lease) not in ("", self._identity):
                self._renewed = None
                log.warning("%s has taken Lease %s/%s", holder(lease), self._namespace, LEASE_NAME)
                return
            await self._take(lease)

    async def _take(self, lease: Obj | None) -> None:
        """Write our name into the Lease as it was read. Raises ConflictError when somebody was quicker."""
        asked = self._clock()
        spec = taken(lease, self._identity, self._terms, datetime.now(UTC))
        if lease is None:
            meta = {"name": LEASE_NAME, "namespace": self._namespace}
            lease = await self._client.create(LEASE, {"metadata": meta, "spec": spec})
        else:
            lease = await self._change(lease, spec)
        self._seen = observe(self._seen, lease, self._clock())
        self._renewed = asked

    async def _change(self, lease: Obj, spec: dict[str, Any]) -> Obj:
        version = str(lease["metadata"]["resourceVersion"])
        return await self._client.patch(LEASE, LEASE_NAME, self._namespace, {"spec": spec}, version)

    async def _read(self) -> Obj | None:
        try:
            return await self._client.get(LEASE, LEASE_NAME, self._namespace)
        except NotFoundError:
            return None


def _text(error: Exception) -> str:
    return str(error) or "no answer in time"
