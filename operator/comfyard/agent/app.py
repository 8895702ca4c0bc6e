"""Puts the agent together and runs it until SIGTERM."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import suppress

from comfyard.agent.content import Contents
from comfyard.agent.dispatcher import Dispatcher
from comfyard.agent.input_places import Places
from comfyard.agent.inputs import Inputs
from comfyard.agent.knowledge import report_nodes
from comfyard.agent.leftovers import Leftovers
from comfyard.agent.probes import serve
from comfyard.agent.server import Server
from comfyard.agent.settings import Settings
from comfyard.agent.start_up import StartUp
from comfyard.agent.surroundings import Surroundings
from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.feed import Feed
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.kube.protocol import KubeClient
from comfyard.store.http.web import Web

log = logging.getLogger(__name__)

_RESYNC_SECONDS = 10.0
_RESYNCS_UNTIL_LOST = 3
"""So many lists may fail before the contact counts as lost."""


async def run(settings: Settings, client: KubeClient) -> int:
    """Work on what is assigned to this server until SIGTERM; 0 when everything was brought to an end.

    Returns:
        The exit status; 1 when a part has failed, for kubelet to start the agent again.
    """
    client_id = f"comfyard-{settings.server}"
    feed = Feed(settings.comfyui_url, client_id)
    server = Server(ComfyClient(settings.comfyui_url, client_id), feed, settings.run_directory)
    informer = Informer(
        client,
        GENERATION_JOB,
        settings.namespace,
        fields={"status.assignment.server": settings.server},
        resync_seconds=min(_RESYNC_SECONDS, settings.lost_seconds / _RESYNCS_UNTIL_LOST),
    )
    web = Web()
    inputs, leftovers = Inputs(Places(client, settings, web), settings), Leftovers(settings.output_directory)
    around = Surroundings(settings, client, Contents(client, settings), inputs, leftovers, server)
    start_up = StartUp(server, settings)
    dispatcher = Dispatcher(around, informer, start_up)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, dispatcher.drain)
    drained = settings.run_directory / "drained"
    with suppress(OSError):  # of an agent before us in the same pod
        drained.unlink(missing_ok=True)
    try:
        with web:
            async with serve(settings.port, dispatcher.trouble, lambda: dispatcher.moves):
                reporting = report_nodes(client, server, settings.namespace, settings.node_report)
                return await _until_drained(dispatcher, feed.run(), informer.run(), start_up.run(), reporting)
    finally:
        with suppress(OSError):
            drained.touch()  # ComfyUI's preStop hook waits for it
        await server.comfy.close()


async def _until_drained(dispatcher: Dispatcher, *others: Coroutine[None, None, None]) -> int:
    main = asyncio.create_task(dispatcher.run())
    background = {asyncio.create_task(other) for other in others}
    try:
        await asyncio.wait({main, *background}, return_when=asyncio.FIRST_COMPLETED)
        for task in (main, *background):
            error = task.exception() if task.done() and not task.cancelled() else None
            if error:
                log.error("the agent cannot go on", exc_info=error)
                return 1
        return 0
    finally:
        for task in (main, *background):
            task.cancel()
        await asyncio.gather(main, *background, return_exceptions=True)
