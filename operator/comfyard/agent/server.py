"""The ComfyUI beside us: can it be used, and its restart when it is stuck.

The agent cannot end ComfyUI's process. It makes a file that the liveness probe of ComfyUI's container looks for, and
kubelet does the rest.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from comfyard.comfyui.answers import About
from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.errors import ComfyError
from comfyard.comfyui.failure import Failure
from comfyard.comfyui.feed import Feed
from comfyard.comfyui.stopping import stop

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
NEEDED_CLASS = "KSampler"
"""A core class. ComfyUI opens its port when all nodes are loaded, but one that failed to load is only a log line."""


class Server:
    """One ComfyUI.

    Attributes:
        comfy: Its HTTP side.
        feed: Its events.
    """

    def __init__(self, comfy: ComfyClient, feed: Feed, run_directory: Path) -> None:
        self.comfy = comfy
        self.feed = feed
        self._marker = run_directory / "restart"
        self._condemned: int | None = None
        self._admitted = 0
        self._about: tuple[int, About] = (0, About())  # of the connection to the process that was asked
        with suppress(OSError):  # of an agent before us; if ComfyUI is still stuck, that will be found again
            self._marker.unlink(missing_ok=True)

    @property
    def usable(self) -> bool:
        """Whether work can be given to it."""
        return self.feed.connected and self._condemned is None and self._admitted == self.feed.connections

    def admit(self, process: int) -> None:
        """The process of that connection has the nodes that it should have."""
        self._admitted = process

    @property
    def is_condemned(self) -> bool:
        """Whether its process is of no more use."""
        return self._condemned is not None

    async def until_usable(self) -> None:
        """Wait until work can be given to it."""
        while not self.usable:
            await self.feed.nudged(_LOOK_SECONDS)

    async def stop(self, prompt_ids: Sequence[str], seconds: float) -> None:
        """Have ComfyUI stop prompts. If it does not obey in so many seconds, its process is condemned."""
        if not self.is_condemned and not await stop(self.comfy, self.feed, prompt_ids, seconds):
            self.condemn()

    async def recover(self, failure: Failure) -> None:
        """Do what a failure asks for, so that the next prompt may fare better."""
        if failure.restart:
            self.condemn()
        if failure.free:
            with suppress(ComfyError):
                await self.comfy.free()

    def condemn(self) -> None:
        """This process is of no more use: nothing is given to it from now on."""
        if self._condemned is None:
            self._condemned = self.feed.connections

    def restart_if_condemned(self) -> None:
        """Have kubelet restart the container."""
        if self._condemned is None:
            return
        log.warning("ComfyUI is stuck and is restarted")
        try:
            self._marker.touch()
        except OSError:
            log.exception("cannot ask for a restart of ComfyUI")

    def look(self) -> None:
        """Take the restart mark away once the condemned process is gone; call it now and then."""
        gone = not self.feed.connected or self.feed.connections != self._condemned
        if self._condemned is not None and gone:
            with suppress(OSError):
                self._marker.unlink(missing_ok=True)
            self._condemned = None
            log.info("the stuck ComfyUI is gone")

    async def about(self) -> About:
        """What ComfyUI says of itself; asked once for each process, and nothing when it does not answer."""
        connection = self.feed.connections
        if self._about[0] != connection:
            try:
                self._about = (connection, await self.comfy.about())
            except ComfyError as error:
                log.warning("ComfyUI does not say what it is: %s", error)
                return About()
        return self._about[1]

    async def trouble(self) -> str:
        """Why ComfyUI cannot work; empty when it can."""
        if self._condemned is not None:
            return "ComfyUI is stuck and is being restarted"
        try:
            await self.comfy.queue_remaining()
        except ComfyError as error:
            return f"ComfyUI does not answer: {error}"
        return "" if self.feed.connected else "ComfyUI's events cannot be read yet"
