"""Writes what is so to the statuses of bundles: at once when a state changes, now and then while bytes move."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from comfyard.api.model_bundle import ModelBundle
from comfyard.kube.errors import ApiError, NotFoundError
from comfyard.kube.kinds import MODEL_BUNDLE
from comfyard.kube.protocol import KubeClient
from comfyard.sync.report import Fields, Speed, fields_in, fields_of, wait_before_write
from comfyard.sync.states import FileState

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 30.0

States = list[tuple[str, FileState]]


@dataclass
class _Page:
    """What is known about the status of one bundle.

    Attributes:
        written: What the API server has.
        written_at: When it was written, by `time.monotonic()`.
        retry_at: Nothing is written before that, after a failure.
        failures: Writes that failed in a row.
    """

    written: Fields
    written_at: float = float("-inf")
    retry_at: float = float("-inf")
    failures: int = 0
    speed: Speed = field(default_factory=Speed)


class Reporter:
    """The reports on all bundles.

    Args:
        client: The API server.
        every: Seconds between two writes while only bytes move.
    """

    def __init__(self, client: KubeClient, every: float) -> None:
        self._client = client
        self._every = every
        self._pages: dict[str, _Page] = {}

    async def report(
        self, bundles: Iterable[ModelBundle], states_of: Callable[[ModelBundle], States | None]
    ) -> float | None:
        """Write what is due.

        Args:
            bundles: All that there are.
            states_of: The states of a bundle's files; None when it is too early to tell.

        Returns:
            Seconds until the next write is due; None when the API server has everything.
        """
        waits: list[float] = []
        pages: dict[str, _Page] = {}
        for bundle in bundles:
            page = self._pages.get(bundle.metadata.uid) or _Page(fields_in(bundle.status))
            pages[bundle.metadata.uid] = page
            states = states_of(bundle)
            if states is not None:
                wait = await self._report_one(bundle, page, states)
                if wait is not None:
                    waits.append(wait)
        self._pages = pages
        return min(waits, default=None)

    async def _report_one(self, bundle: ModelBundle, page: _Page, states: States) -> float | None:
        now = time.monotonic()
        speed = page.speed.sample(now, sum(state.received for _, state in states))
        fields = fields_of(bundle.metadata.generation, states, speed)
        wait = wait_before_write(page.written, fields, now - page.written_at, self._every)
        if wait is None:
            return None
        wait = max(wait, page.retry_at - now)
        if wait > 0:
            return wait
        try:
            await self._client.patch_status(MODEL_BUNDLE, bundle.metadata.name, bundle.metadata.namespace, fields)
        except NotFoundError:
            return None  # deleted; the watch will say so
        except ApiError as error:
            return self._failed(bundle, page, error)
        page.written, page.written_at, page.failures = fields, time.monotonic(), 0
        return None

    @staticmethod
    def _failed(bundle: ModelBundle, page: _Page, error: ApiError) -> float:
        delay = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(page.failures, 10))
        page.failures += 1
        page.retry_at = time.monotonic() + delay
        log.warning("cannot report on bundle %s, again in %.0f s: %s", bundle.metadata.name, delay, error)
        return delay
