"""The program `comfyard sync`."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from comfyard.kube.protocol import KubeClient
from comfyard.store.errors import StoreError
from comfyard.store.http.web import Web
from comfyard.store.lock import LockedError, hold
from comfyard.store.store import Store
from comfyard.sync.following import Following
from comfyard.sync.settings import Settings

log = logging.getLogger(__name__)

DONE: Final = 0
CANNOT_START: Final = 1
TERMINATED: Final = 128 + signal.SIGTERM
"""Not 0: a Job whose pod is evicted must not count it as finished."""

_SPARE_THREADS = 8
"""For what goes on beside the files that are fetched: sizes, custom nodes, looks at the volume."""


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
            with Web() as web:
                async with asyncio.TaskGroup() as group:
                    await Following(settings, client, store, web, group).run()
    except (LockedError, StoreError, OSError) as error:
        log.error("cannot write to claim %s: %s", settings.claim, error)  # noqa: TRY400 - the message says it all
        return CANNOT_START
    log.info("every bundle on claim %s is settled", settings.claim)
    return DONE
