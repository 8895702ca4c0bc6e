"""A graph that is rendered once before the first job, so that this one finds the models in memory."""

import json
import logging
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from comfyard.agent.files import remove_folder, remove_output
from comfyard.agent.server import Server
from comfyard.agent.settings import Settings
from comfyard.comfyui.errors import ComfyError
from comfyard.comfyui.execution import enqueue, outcomes
from comfyard.comfyui.failure import Failure
from comfyard.workflow.graph import check_graph
from comfyard.workflow.prompts import PREFIX_INPUT, Prompt

log = logging.getLogger(__name__)


class WarmUp:
    """The warm-up of one server.

    Attributes:
        prompt_id: The same for the same server, so that an agent after us finds it in ComfyUI's queue or history. Also
            the name of the folder that its files go to.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        self.prompt_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, settings.server))
        self._server = server
        self._settings = settings

    async def render(self) -> str:
        """Render it, unless this process of ComfyUI has already, and delete what it has made.

        Returns:
            Why it could not be rendered; empty when it was, or when there is none.
        """
        if not self._settings.warm_up:
            return ""
        try:
            graph = self._read(self._settings.warm_up)
        except (OSError, ValueError) as error:
            return f"the warm-up in {self._settings.warm_up} is no graph: {error}"
        failure = await self._run(Prompt(self.prompt_id, 0, graph, {}, self.prompt_id))
        if failure:
            await self._server.stop([self.prompt_id], self._settings.limits.stop_seconds)
            await self._server.recover(failure)
            self._server.restart_if_condemned()
        await self._clean_up()
        return failure.message if failure else ""

    def _read(self, path: Path) -> dict[str, Any]:
        """The graph, with a folder of its own for all files whose place it tells. Raises OSError, ValueError."""
        graph = json.loads(path.read_bytes())
        if not isinstance(graph, dict):
            raise ValueError("it must be an object")  # noqa: TRY004 - as everything that is wrong with it
        for problem in check_graph(graph, at=()):
            raise ValueError(problem.message)
        for node_id, node in graph.items():
            if PREFIX_INPUT in node["inputs"]:
                node["inputs"][PREFIX_INPUT] = f"{self.prompt_id}/{node_id}"
        return graph

    async def _run(self, prompt: Prompt) -> Failure | None:
        comfy, feed, limits = self._server.comfy, self._server.feed, self._settings.limits
        failure = await enqueue(comfy, feed, [prompt], limits)
        if failure is None:
            async for end in outcomes(comfy, feed, [prompt], limits):
                failure = end if isinstance(end, Failure) else None
        feed.unfollow(prompt.id)
        return failure

    async def _clean_up(self) -> None:
        root = self._settings.output_directory
        with suppress(ComfyError):
            entry = await self._server.comfy.history(self.prompt_id)
            for file in [file for files in entry.files.values() for file in files] if entry else ():
                if file.folder == "output":
                    remove_output(root, file)
        remove_folder(root, self.prompt_id)
