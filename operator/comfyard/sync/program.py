"""The program `comfyard sync`."""

import asyncio
import logging
import signal
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from comfyard.api.model_bundle import ModelBundle
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import MODEL_BUNDLE, Obj, name_of
from comfyard.kube.protocol import KubeClient
from comfyard.store.errors import StoreError
from comfyard.store.fetcher import Fetcher
from comfyard.store.http import http_client
from comfyard.store.lock import LockedError, hold
from comfyard.store.store import Store
from comfyard.sync.report import all_settled, states_of
from comfyard.sync.reporter import Reporter, States
from comfyard.sync.settings import Settings
from comfyard.sync.wanted import Wanted, on_claim, wanted_by
from comfyard.sync.worker import Worker

log = logging.getLogger(__name__)

DONE: Final = 0
CANNOT_START: Final = 1
TERMINATED: Final = 128 + signal.SIGTERM
"""Not 0: a Job whose pod is evicted must not count it as finished."""

_SPARE_THREADS = 4


async def run(settings: Settings, client: KubeClient) -> int:
    """Make the claim's files match its bundles, until there is nothing left to do.

    Args:
        settings: From the environment.
        client: The API server.

    Returns:
        The exit code: 0 when every bundle of the claim is settled and the API server knows.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(settings.parallel_files + _SPARE_THREADS))
    work = asyncio.ensure_future(_locked(settings, client))
    loop.add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        log.info("stopped; what was fetched so far is kept")
        return TERMINATED
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _locked(settings: Settings, client: KubeClient) -> int:
    store = Store(settings.store_directory)
    try:
        store.layout.prepare()
        async with hold(store.layout.lock, settings.lock_seconds):
            store.clear()
            await Sync(settings, client, store).run()
    except (LockedError, StoreError, OSError) as error:
        log.error("cannot write to claim %s: %s", settings.claim, error)  # noqa: TRY400 - the message says it all
        return CANNOT_START
    log.info("every bundle on claim %s is settled", settings.claim)
    return DONE


def parse(objects: Iterable[Obj]) -> list[ModelBundle]:
    """The bundles among what the API server said; one that cannot be read must not keep others from their files."""
    bundles: list[ModelBundle] = []
    for obj in objects:
        try:
            bundles.append(ModelBundle.model_validate(obj))
        except ValidationError as error:
            log.warning("bundle %s is left alone, it cannot be read: %s", name_of(obj), error)
    return bundles


class Sync:
    """Follows the bundles of one claim: what they want goes to the worker, what comes of it to the reporter."""

    def __init__(self, settings: Settings, client: KubeClient, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._informer = Informer(client, MODEL_BUNDLE, settings.namespace)
        self._reporter = Reporter(client, settings.report_seconds)
        self._bundles: list[ModelBundle] = []
        self._wanted = Wanted()
        self._bundles_changed = True
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until every bundle is settled and reported, and stays so for a while."""
        with http_client() as client:
            async with asyncio.TaskGroup() as group:
                fetcher = Fetcher(self._store, client, self._settings.parallel_files)
                worker = Worker(fetcher, self._store, group, self._wake.set)
                helpers = [group.create_task(self._informer.run()), group.create_task(self._watch())]
                await self._informer.synced.wait()
                await self._follow(worker)
                for helper in helpers:
                    helper.cancel()

    async def _watch(self) -> None:
        while True:
            if await self._informer.changed():
                self._bundles_changed = True
                self._wake.set()

    async def _follow(self, worker: Worker) -> None:
        settled_since: float | None = None
        while True:
            self._wake.clear()
            if self._bundles_changed:
                self._bundles_changed = False
                self._bundles = on_claim(parse(self._informer.objects.values()), self._settings.claim)
                self._wanted = wanted_by(self._bundles)
                await worker.follow(self._wanted)
            due = await self._reporter.report(self._bundles, lambda bundle: self._states(bundle, worker))
            # A change while the report was under way is not in it.
            unchanged = due is None and not self._wake.is_set()
            settled = unchanged and all(all_settled(self._states(b, worker)) for b in self._bundles)
            now = time.monotonic()
            settled_since = (settled_since or now) if settled else None
            if settled_since is not None and now - settled_since >= self._settings.linger_seconds:
                return
            await self._wait(self._settings.report_seconds if due is None else due)

    def _states(self, bundle: ModelBundle, worker: Worker) -> States | None:
        return states_of(bundle, self._wanted, worker.state_of)

    async def _wait(self, seconds: float) -> None:
        """Until something changes, or for so long: speed changes by time alone."""
        # Not wait_for: up to Python 3.11 it swallows a cancellation that comes together with what it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
