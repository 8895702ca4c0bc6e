"""Writes what is so to the statuses of bundles: at once when a state changes, now and then while bytes move."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from comfyard.api.model_bundle import CustomNodeStatus, ModelBundle, ModelBundleStatus, ModelStatus
from comfyard.kube.errors import ApiError, NotFoundError
from comfyard.kube.events import build_event
from comfyard.kube.kinds import EVENT, MODEL_BUNDLE
from comfyard.kube.protocol import KubeClient
from comfyard.sync.happenings import Happening, failures, happenings
from comfyard.sync.report import Fields, Speed, fields_in, fields_of, wait_before_write
from comfyard.sync.told import Told
from comfyard.sync.wanted import InPlace, in_place_by

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 30.0
_COMPONENT = "comfyard-sync"


@dataclass
class _Page:
    """What is known about the status of one bundle.

    Attributes:
        written: What the API server has.
        written_at: When it was written, by `time.monotonic()`.
        retry_at: Nothing is written before that, after a failure.
        failures: Writes that failed in a row.
        told: What has been told by this process, in the status and by events.
        failed: What has failed, and was told by an event; see `failures`.
        speeds: Of its files, by path.
    """

    written: Fields
    written_at: float = float("-inf")
    retry_at: float = float("-inf")
    failures: int = 0
    told: Told = field(default_factory=Told)
    failed: dict[str, str] = field(default_factory=dict)
    speeds: dict[str, Speed] = field(default_factory=dict)

    @classmethod
    def of(cls, status: ModelBundleStatus) -> "_Page":
        """The page of a status as it was read: what it says was told by an earlier process."""
        rows = {row.path: row for row in status.models} | {row.name: row for row in status.custom_nodes}
        return cls(fields_in(status), failed={n: row.reason for n, row in rows.items() if row.state == "Failed"})

    def in_place(self) -> InPlace:
        """What it remembers to have been put in place."""
        models = [ModelStatus.model_validate(row) for row in self.written["models"]]
        return in_place_by(models, [CustomNodeStatus.model_validate(row) for row in self.written["customNodes"]])

    def measure(self, told: Told, now: float) -> dict[str, int]:
        """How fast each file comes in."""
        self.speeds = {path: self.speeds.get(path) or Speed() for path, _ in told.files}
        return {path: self.speeds[path].sample(now, state.received) for path, state in told.files}


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

    def in_place(self, bundle: ModelBundle) -> InPlace:
        """What was put in place for a bundle, as its status remembers it now, whether the watch knows that or not."""
        return self._page(bundle).in_place()

    async def report(self, bundles: Iterable[ModelBundle], tell: Callable[[ModelBundle], Told | None]) -> float | None:
        """Write what is due.

        Args:
            bundles: All that there are.
            tell: What there is to tell of one; None when it is too early to tell.

        Returns:
            Seconds until the next write is due; None when the API server has everything.
        """
        waits: list[float] = []
        pages: dict[str, _Page] = {}
        for bundle in bundles:
            page = pages[bundle.metadata.uid] = self._page(bundle)
            told = tell(bundle)
            if told is not None:
                wait = await self._report_one(bundle, page, told)
                if wait is not None:
                    waits.append(wait)
        self._pages = pages
        return min(waits, default=None)

    async def say(self, bundle: ModelBundle, news: Sequence[Happening]) -> None:
        """Make events on a bundle. That one cannot be made is no reason to stop anything."""
        about = {"metadata": bundle.metadata.to_api()}
        for one in news:
            event = build_event(about, MODEL_BUNDLE, one.type, one.reason, one.message, _COMPONENT, datetime.now(UTC))
            try:
                await self._client.create(EVENT, event)
            except ApiError as error:
                log.warning("cannot make an event on bundle %s: %s: %s", bundle.metadata.name, one.message, error)

    def _page(self, bundle: ModelBundle) -> _Page:
        return self._pages.get(bundle.metadata.uid) or _Page.of(bundle.status)

    async def _report_one(self, bundle: ModelBundle, page: _Page, told: Told) -> float | None:
        now = time.monotonic()
        fields = fields_of(bundle.metadata.generation, told, page.measure(told, now), page.in_place())
        wait = wait_before_write(page.written, fields, now - page.written_at, self._every)
        if wait is not None:
            wait = max(wait, page.retry_at - now)
            if wait > 0:
                return wait
        news = happenings(told, page.told, page.failed)
        if wait is not None:
            try:
                await self._client.patch_status(MODEL_BUNDLE, bundle.metadata.name, bundle.metadata.namespace, fields)
            except NotFoundError:
                return None  # deleted; the watch will say so
            except ApiError as error:
                return self._failed(bundle, page, error)
            page.written, page.written_at, page.failures = fields, time.monotonic(), 0
        page.told, page.failed = told, failures(told, page.failed)
        await self.say(bundle, news)
        return None

    @staticmethod
    def _failed(bundle: ModelBundle, page: _Page, error: ApiError) -> float:
        delay = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(page.failures, 10))
        page.failures += 1
        page.retry_at = time.monotonic() + delay
        log.warning("cannot report on bundle %s, again in %.0f s: %s", bundle.metadata.name, delay, error)
        return delay
