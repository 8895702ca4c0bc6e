"""Follows the bundles of one claim: what they want goes to the workers, what comes of it to the reporter."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from comfyard.api.model_bundle import ModelBundle
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import MODEL_BUNDLE
from comfyard.kube.protocol import KubeClient
from comfyard.store.errors import NoSpaceError, PathConflictError, StoreError
from comfyard.store.fetcher import Fetcher
from comfyard.store.http.web import Web
from comfyard.store.nodes import NodeStore
from comfyard.store.store import Store
from comfyard.store.threads import in_thread
from comfyard.sync import inventory
from comfyard.sync.bundles import OnClaim
from comfyard.sync.happenings import removed
from comfyard.sync.packages import Packages
from comfyard.sync.reporter import Reporter
from comfyard.sync.secrets import Secrets
from comfyard.sync.settings import Settings
from comfyard.sync.tidy import Tidy
from comfyard.sync.told import MAY_NEED_CREDENTIALS, Sight, Told, tell
from comfyard.sync.wanted import InPlace, Wanted, wanted_by
from comfyard.sync.worker import Worker

log = logging.getLogger(__name__)

_NEVER = float("inf")
_TIDY_AGAIN_SECONDS = 5.0
_SECRETS_AGAIN_SECONDS = 0.5


class Following:
    """Works until every bundle is settled and reported, and stays so for a while.

    Args:
        settings: From the environment.
        client: The API server.
        store: The claim's, which is ours alone.
        web: How sources are reached.
        group: Where all tasks live.
    """

    def __init__(
        self, settings: Settings, client: KubeClient, store: Store, web: Web, group: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._client = client
        self._store = store
        self._web = web
        self._group = group
        self._wake = asyncio.Event()
        nodes = NodeStore(store.layout, web)
        fetcher = Fetcher(
            store,
            web,
            settings.parallel_files,
            sources_directory=settings.sources_directory,
            claim=settings.claim,
        )
        self._informer = Informer(client, MODEL_BUNDLE, settings.namespace)
        self._reporter = Reporter(client, settings.report_seconds)
        self._secrets = Secrets(client, settings.namespace)
        self._worker = Worker(fetcher, group, self._wake.set)
        self._packages = Packages(nodes, group, self._wake.set)
        self._tidy = Tidy(store, nodes)
        self._on_claim = OnClaim()
        self._wanted = Wanted()
        self._changed = True
        self._tidy_at = _NEVER
        self._verifying = False
        self._refused: frozenset[object] = frozenset()
        self._shown_at = -_NEVER
        self._collected: object = None

    async def run(self) -> None:
        """Follow them."""
        helpers = [self._group.create_task(self._informer.run()), self._group.create_task(self._watch())]
        await self._informer.synced.wait()
        await self._follow()
        for helper in helpers:
            helper.cancel()

    async def _watch(self) -> None:
        while True:
            if await self._informer.changed():
                self._changed = True
                self._wake.set()

    async def _follow(self) -> None:
        settled_since: float | None = None
        while True:
            self._wake.clear()
            await self._act()
            due = await self._reporter.report(self._on_claim.bundles, self._tell)
            # A change while the report was under way is not in it.
            if due is not None or self._wake.is_set() or not self._is_settled():
                settled_since = None
            elif settled_since is None:
                await self._leave_behind()
                settled_since = time.monotonic()
            lingered = settled_since is not None and time.monotonic() - settled_since >= self._settings.linger_seconds
            if lingered and not self._wake.is_set():
                return
            await self._wait(self._settings.report_seconds if due is None else due)

    async def _act(self) -> None:
        if self._changed or time.monotonic() >= self._tidy_at:
            self._changed = False
            there = self._in_place()
            self._on_claim = self._on_claim.then(self._informer.objects.values(), self._settings.claim)
            await self._show_secrets()
            await self._take_over(there)
        else:
            await self._show_secrets()
        self._verifying = self._worker.verify(datetime.now(UTC))
        if self._worker.failed({NoSpaceError.reason}):
            await self._collect()

    def _in_place(self) -> dict[str, InPlace]:
        """What was put in place for each bundle: what its status tells, and what has come since it was written."""
        found: dict[str, InPlace] = {}
        for bundle in self._on_claim.bundles:
            needs = [self._wanted.files[m.path] for m in bundle.wanted_models() if m.path in self._wanted.files]
            states = {need.want.path: self._worker.state_of(need.want) for need in needs}
            new = {path: state.sha256 for path, state in states.items() if state and state.sha256}
            told = self._reporter.in_place(bundle)
            found[bundle.metadata.uid] = InPlace({**told.files, **new}, told.nodes)
        return found

    async def _show_secrets(self) -> None:
        """Let sources see what bundles name for them; what was refused without it, or with an older one, is retried."""
        refused = self._worker.failed(MAY_NEED_CREDENTIALS) | self._packages.failed(MAY_NEED_CREDENTIALS)
        again, self._refused = bool(refused - self._refused), refused
        if await self._secrets.read(self._on_claim.bundles, again=again):
            self._web.credentials = self._secrets.credentials
            self._shown_at = time.monotonic()
        self._worker.retry(MAY_NEED_CREDENTIALS, self._shown_at)
        self._packages.retry(MAY_NEED_CREDENTIALS, self._shown_at)

    async def _take_over(self, there: Mapping[str, InPlace]) -> None:
        """Act on what the bundles say now: first let go, then clear away, then begin anew."""

        def in_place(bundle: ModelBundle) -> InPlace:
            return there.get(bundle.metadata.uid) or self._reporter.in_place(bundle)

        bundles = {bundle.metadata.uid: bundle for bundle in self._on_claim.bundles}
        self._wanted = wanted_by(bundles.values(), self._on_claim.unknown, in_place)
        await self._worker.let_go(self._wanted)
        await self._packages.let_go(self._wanted)
        gone, complete = await self._tidy.clear(self._wanted, {sha256 for _, sha256 in self._there()})
        self._tidy_at = _NEVER if complete else time.monotonic() + _TIDY_AGAIN_SECONDS
        self._worker.take_on(self._wanted, {file for b in bundles.values() for file in in_place(b).files.items()})
        self._packages.take_on(self._wanted)
        if gone:
            self._worker.retry({PathConflictError.reason}, time.monotonic())
        for removal in gone:
            await self._reporter.say(bundles[removal.uid], [removed(removal.path)])

    def _tell(self, bundle: ModelBundle) -> Told | None:
        sight = Sight(self._wanted, self._worker.state_of, self._packages.state_of, self._tidy.done)
        return tell(bundle, sight, self._reporter.in_place(bundle), self._secrets.trouble_of(bundle))

    def _is_settled(self) -> bool:
        told = (self._tell(bundle) for bundle in self._on_claim.bundles)
        tidy = self._tidy_at == _NEVER and not self._verifying
        return tidy and all(each is not None and each.settled for each in told)

    async def _leave_behind(self) -> None:
        """A claim without what nobody needs, and word of what is on it."""
        await self._collect()
        paths = self._wanted.files.keys() | self._wanted.conflicts.keys()
        try:
            found = await in_thread(lambda _: self._store.inventory(paths))
        except StoreError as error:
            log.warning("%s", error)
        else:
            await inventory.publish(self._client, self._settings.namespace, self._settings.inventory, found)

    async def _collect(self) -> None:
        """Make room, when something was replaced or removed since it was made last."""
        there = self._there()
        if self._collected != (there, self._wanted):
            await self._tidy.collect(self._wanted, {sha256 for _, sha256 in there})
            self._collected = (there, self._wanted)

    def _there(self) -> frozenset[tuple[str, str]]:
        """Path and SHA-256 of what is in place or on its way."""
        states = {path: self._worker.state_of(need.want) for path, need in self._wanted.files.items()}
        return frozenset((path, state.sha256) for path, state in states.items() if state and state.sha256)

    async def _wait(self, seconds: float) -> None:
        """Until something changes, or for so long: speed changes by time alone."""
        if self._secrets.passing:
            seconds = min(seconds, _SECRETS_AGAIN_SECONDS)
        # Not wait_for: up to Python 3.11 it swallows a cancellation that comes together with what it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
