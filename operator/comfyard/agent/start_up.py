"""What is done once for each process of ComfyUI before its server counts as ready.

ComfyUI goes on without the custom nodes that it cannot import. A server that lacks what its jobs were promised is of no
use: the agent says why in its container's termination message and ends, again and again, until somebody has the pod
replaced.

Jobs are held up until the nodes are known to be there, as a graph with a class that ComfyUI does not have fails for
good. They are not held up for the warm-up: ComfyUI renders what was queued first, and a job warms it up as well.
"""

import logging
from collections.abc import Mapping

from comfyard.agent.server import NEEDED_CLASS, Server
from comfyard.agent.settings import Settings
from comfyard.agent.termination import tell
from comfyard.agent.warm_up import WarmUp
from comfyard.comfyui.errors import AnswerError, ComfyError
from comfyard.comfyui.imports import FailedImport, failed_imports

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LINES = 6
"""Of a traceback's end: where it was raised, and what."""


class CustomNodesError(Exception):
    """ComfyUI lacks custom nodes that this server is to have."""


class StartUp:
    """The start of the ComfyUI beside us, as often as it starts."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self._server = server
        self._settings = settings
        self._warm_up = WarmUp(server, settings)
        self._warms_up = True
        self._prepared = 0
        self._state = (0, "")

    @property
    def prompt_id(self) -> str:
        """Of what is rendered to warm up."""
        return self._warm_up.prompt_id

    @property
    def trouble(self) -> str:
        """Why the process that we are connected to is not ready yet; empty when it is."""
        process, text = self._state
        return text if process == self._server.feed.connections else "ComfyUI's nodes have not been looked at yet"

    async def run(self) -> None:
        """Prepare every process, until cancelled. Raises CustomNodesError."""
        feed = self._server.feed
        while True:
            process = feed.connections
            if feed.connected and process != self._prepared:
                try:
                    await self._prepare(process)
                except ComfyError as error:
                    log.warning("ComfyUI's start is looked at again: %s", error)
            await feed.nudged(_LOOK_SECONDS)

    async def _prepare(self, process: int) -> None:
        if await self._server.comfy.object_info(NEEDED_CLASS) is None:
            self._state = process, f"ComfyUI does not know the node class {NEEDED_CLASS}"
            self._prepared = process
            return
        await self._check_custom_nodes()
        self._server.admit(process)
        if self._warms_up:
            self._state = process, "ComfyUI is warming up"
            failure = await self._warm_up.render()
            if failure:  # of no other use the next time
                self._warms_up = False
                tell(self._settings.termination_log, "WarmUpFailed", failure)
        self._state = process, ""
        self._prepared = process

    async def _check_custom_nodes(self) -> None:
        if not self._settings.custom_nodes:
            return
        try:
            failed = failed_imports(await self._server.comfy.log())
        except AnswerError as error:  # it is not meant for us, so it may be gone
            log.warning("whether custom nodes were imported cannot be seen: %s", error)
            return
        ours = {name: failed[name] for name in self._settings.custom_nodes if name in failed}
        if ours:
            message = _message(ours)
            tell(self._settings.termination_log, "CustomNodeFailed", message)
            raise CustomNodesError(message)


def _message(failed: Mapping[str, FailedImport]) -> str:
    """All reasons first, as what is too long is cut at its end."""
    reasons = [
        f"ComfyUI cannot import the custom nodes {name}: {each.reason}; use a server image that has what they need, or "
        "take them out of the bundle"
        for name, each in failed.items()
    ]
    return "\n".join([*reasons, *(line for each in failed.values() for line in each.traceback[-_LINES:])])
