"""Runs prompts one at a time, with the messages of ComfyUI 0.3.64 in their order."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from comfysim.cache import ResultCache, is_link
from comfysim.errors import (
    InterruptProcessingException,
)
from comfysim.nodes import NODES
from comfysim.progress import MessageSink
from comfysim.prompt_queue import SENSITIVE_EXTRA_DATA_KEYS
from comfysim.prompt_run import NodeFailedError, PromptRun

if TYPE_CHECKING:
    from comfysim.json_types import Json
    from comfysim.runtime import Runtime

log = logging.getLogger("comfysim")


class PromptExecutor:
    """Runs prompts, one at a time, in the worker thread.

    Args:
        server: Where messages go.
        runtime: The process' shared parts.
        cache: Results of earlier runs.

    Attributes:
        success: Whether the last run reached its end.
        status_messages: What the history keeps of its messages.
        history_result: Its outputs and their meta data.
    """

    def __init__(self, server: MessageSink, runtime: Runtime, cache: ResultCache) -> None:
        self.server = server
        self.runtime = runtime
        self.cache = cache
        self.success = True
        self.status_messages: list[tuple[str, dict[str, Any]]] = []
        self.history_result: dict[str, Any] = {}

    def add_message(self, event: str, data: dict[str, Any], *, broadcast: bool = False) -> None:
        """Tells the client and the history.

        Args:
            event: The message's type.
            data: Its data; the time is added.
            broadcast: Tell everybody if the prompt came without a client id.
        """
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.status_messages.append((event, data))
        if self.server.client_id is not None or broadcast:
            self.server.send_sync(event, data, self.server.client_id)

    def execute(
        self, number: float, prompt: dict[str, Any], prompt_id: str, extra_data: dict[str, Any], outputs: list[str]
    ) -> None:
        """Runs one prompt, and records that it did.

        What goes wrong inside of a node ends the run. What goes wrong outside of one is not caught, here as in
        ComfyUI 0.3.64: it ends the worker thread, and the item stays "running" for ever.

        Args:
            number: Its place in the queue, for the record.
            prompt: The graph.
            prompt_id: Its id.
            extra_data: What came with it.
            outputs: The output nodes to run.
        """
        self.runtime.misbehaviour.read_file()
        self.runtime.interrupt.set(value=False)
        self.server.client_id = extra_data.get("client_id")
        run = PromptRun(self.server, self.runtime, self.cache, prompt, prompt_id, extra_data)
        kept = {k: v for k, v in extra_data.items() if k not in (*SENSITIVE_EXTRA_DATA_KEYS, "extra_pnginfo")}
        facts = {"prompt_id": prompt_id, "number": number, "client_id": self.server.client_id, "extra_data": kept}
        started = time.time()
        self.runtime.record.append("start", **facts, started=started)
        outcome = "lost"
        try:
            outcome = self._execute(run, outputs)
        finally:
            ended = time.time()
            facts |= {"nodes": run.executed, "cached": run.cached, "steps": run.context.steps, "outcome": outcome}
            self.runtime.record.append("end", **facts, started=started, ended=ended)

    def _execute(self, run: PromptRun, outputs: list[str]) -> str:
        self.success = True
        self.status_messages = []
        self.add_message("execution_start", {"prompt_id": run.prompt_id})
        self.cache.set_prompt(run.prompt, self._is_changed)
        self.runtime.models.begin_prompt(self._model_files(run.prompt))
        run.cached = [node_id for node_id in run.prompt if self.cache.get(node_id) is not None]
        self.add_message("execution_cached", {"nodes": run.cached, "prompt_id": run.prompt_id})
        outcome = "success"
        try:
            for node_id in run.order(outputs):
                run.node(node_id)
            self.add_message("execution_success", {"prompt_id": run.prompt_id})
        except NodeFailedError as failure:
            self.success = False
            outcome = self._failed(run, failure)
        shown = dict(self.cache.shown())
        self.history_result = {
            "outputs": {node_id: result.ui for node_id, result in shown.items()},
            "meta": {node_id: result.meta for node_id, result in shown.items()},
        }
        self.server.last_node_id = None
        return outcome

    def _failed(self, run: PromptRun, failure: NodeFailedError) -> str:
        node_id = failure.details["node_id"]
        data = {
            "prompt_id": run.prompt_id,
            "node_id": node_id,
            "node_type": run.prompt[node_id]["class_type"],
            "executed": list(run.executed),
        }
        if isinstance(failure.error, InterruptProcessingException):
            self.add_message("execution_interrupted", data, broadcast=True)
            return "interrupted"
        current = [n for n in run.prompt if self.cache.get(n) is not None]
        self.add_message("execution_error", {**data, **failure.details, "current_outputs": current})
        return "error"

    def _is_changed(self, node_id: str, node: dict[str, Any]) -> Json:
        function = NODES.is_changed.get(node["class_type"])
        if function is None:
            return False
        values = {name: value for name, value in node["inputs"].items() if not is_link(value)}
        try:
            return function(self.runtime.folders.get_annotated_filepath, **values)
        except Exception as error:  # noqa: BLE001 - a file that cannot be read is never the same
            log.warning("WARNING: %s", error)
            return f"changed {node_id} {time.time_ns()}"

    def _model_files(self, prompt: dict[str, Any]) -> set[str]:
        files: set[str] = set()
        for node in prompt.values():
            for spec in self.runtime.catalog.classes[node["class_type"]].inputs.values():
                value = node["inputs"].get(spec.name)
                if spec.folder in self.runtime.folders.folders and isinstance(value, str):
                    path = self.runtime.folders.get_full_path(spec.folder, value)
                    files |= {path} if path else set()
        return files
