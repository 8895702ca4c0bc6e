"""One prompt's run: which nodes, in which order, and what the client is told of each."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

from comfysim.cache import NodeResult, ResultCache, is_link
from comfysim.errors import (
    OOM_TIPS,
    InterruptProcessingException,
    NotExecutedByStandInError,
    OutOfMemoryError,
    full_type_name,
)
from comfysim.nodes import NODES, NodeContext, NodeOutput
from comfysim.progress import MessageSink, ProgressRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

    from comfysim.json_types import Json
    from comfysim.runtime import Runtime

log = logging.getLogger("comfysim")

PREVIEW_IMAGE_WITH_METADATA = 4
UNENCODED_PREVIEW_IMAGE = 2
HIDDEN = {
    "PROMPT": lambda ctx: ctx.prompt,
    "EXTRA_PNGINFO": lambda ctx: ctx.extra_data.get("extra_pnginfo"),
    "UNIQUE_ID": lambda ctx: ctx.node_id,
    "AUTH_TOKEN_COMFY_ORG": lambda ctx: ctx.extra_data.get("auth_token_comfy_org"),
    "API_KEY_COMFY_ORG": lambda ctx: ctx.extra_data.get("api_key_comfy_org"),
}


class NodeFailedError(Exception):
    """A node's failure with what the client is told of it."""

    def __init__(self, error: Exception, details: dict[str, Any]) -> None:
        super().__init__(str(details.get("node_id")))
        self.error = error
        self.details = details


class PromptRun:
    """One prompt's execution.

    Args:
        server: Where messages go.
        runtime: The process' shared parts.
        cache: Results of earlier runs.
        prompt: The graph.
        prompt_id: Its id.
        extra_data: What came with it.
    """

    def __init__(
        self,
        server: MessageSink,
        runtime: Runtime,
        cache: ResultCache,
        prompt: dict[str, Any],
        prompt_id: str,
        extra_data: dict[str, Any],
    ) -> None:
        self.server = server
        self.runtime = runtime
        self.cache = cache
        self.prompt = prompt
        self.prompt_id = prompt_id
        self.progress = ProgressRegistry(server, prompt_id)
        self.context = NodeContext(runtime, "", prompt, extra_data, self._on_progress)
        self.executed: list[str] = []
        self.cached: list[str] = []

    def order(self, outputs: list[str]) -> Iterable[str]:
        """Gives the nodes to run: what an output needs and the cache has not, each after what it needs.

        An output is run as soon as it can be, so that a preview does not wait for an unrelated branch.

        Args:
            outputs: The output nodes.

        Returns:
            Node ids; cached output nodes are among them, other cached nodes are not.
        """
        done: dict[str, None] = {}
        seen: set[str] = set()

        def visit(node_id: str) -> None:
            stack = [(node_id, iter(self._needs(node_id)))]
            while stack:
                current, needs = stack[-1]
                following = next((n for n in needs if n not in seen), None)
                if following is None:
                    done[current] = None
                    stack.pop()
                else:
                    seen.add(following)
                    stack.append((following, iter(self._needs(following))))

        for output in outputs:
            if output not in seen:
                seen.add(output)
                visit(output)
        return list(done)

    def _needs(self, node_id: str) -> list[str]:
        if self.cache.get(node_id) is not None:
            return []
        links = [value[0] for value in self.prompt[node_id]["inputs"].values() if is_link(value)]
        return [source for source in dict.fromkeys(links) if self.cache.get(source) is None]

    def node(self, node_id: str) -> None:
        """Runs one node, or tells again what it showed when it ran.

        Args:
            node_id: The node.

        Raises:
            NodeFailedError: With the client's view of the failure.
        """
        cached = self.cache.get(node_id)
        if cached is not None:
            self._to_client("executed", {"node": node_id, "display_node": node_id, "output": cached.ui})
            self.progress.finish(node_id)
            return
        inputs: dict[str, Any] | None = None
        try:
            self.progress.start(node_id)
            inputs = self._inputs(node_id)
            self.server.last_node_id = node_id if self.server.client_id is not None else self.server.last_node_id
            self._to_client("executing", {"node": node_id, "display_node": node_id})
            output = self._call(node_id, inputs)
            if output.ui is not None:
                self._to_client("executed", {"node": node_id, "display_node": node_id, "output": output.ui})
            meta = {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
            self.cache.put(node_id, NodeResult(output.result, output.ui, meta))
        except InterruptProcessingException as interrupted:
            log.info("Processing interrupted")
            raise NodeFailedError(interrupted, {"node_id": node_id}) from interrupted
        except Exception as error:
            raise NodeFailedError(error, self._describe(node_id, error, inputs)) from error
        self.progress.finish(node_id)
        self.executed.append(node_id)

    def _call(self, node_id: str, inputs: dict[str, Any]) -> NodeOutput:
        self.runtime.interrupt.throw_if_set()
        name = self.prompt[node_id]["class_type"]
        function = NODES.functions.get(name)
        if self.runtime.catalog.classes[name].output_node:
            if self.runtime.misbehaviour.take("block"):
                self._block(node_id)
                return NodeOutput()
            self.runtime.misbehaviour.strike("", None, (0, 0, 0), self.runtime.settings.vram_bytes)
        if function is None:
            raise NotExecutedByStandInError(
                f"comfysim is a stand-in for ComfyUI and does not execute {name}. It knows the class, so the graph is "
                "valid; run it on a real ComfyUI server."
            )
        self.context.node_id = node_id
        return function(self.context, **inputs)

    def _block(self, node_id: str) -> None:
        """An error for the client that is none: it has no time, the history does not have it, and nothing ends."""
        data = {
            "node_id": node_id,
            "node_type": self.prompt[node_id]["class_type"],
            "executed": list(self.executed),
            "exception_message": "Execution Blocked: comfysim was asked to",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        self._to_client("execution_error", data)

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node = self.prompt[node_id]
        known = self.runtime.catalog.classes[node["class_type"]]
        inputs: dict[str, Any] = {}
        for name, value in node["inputs"].items():
            if is_link(value):
                source = self.cache.get(value[0])
                inputs[name] = None if source is None else source.outputs[int(value[1])]
            elif name in known.inputs:
                inputs[name] = value
        self.context.node_id = node_id
        for name, kind in known.facts.get("hid", {}).items():
            inputs[name] = HIDDEN[kind](self.context)
        return inputs

    def _describe(self, node_id: str, error: Exception, inputs: dict[str, Any] | None) -> dict[str, Any]:
        log.error("!!! Exception during processing !!! %s", error)
        log.error("%s", "".join(traceback.format_exception(error)))
        tips = ""
        if isinstance(error, OutOfMemoryError):
            tips = OOM_TIPS
            log.error("Got an OOM, unloading all loaded models.")
            self.runtime.models.unload_all()
        return {
            "node_id": node_id,
            "exception_message": f"{error}\n{tips}",
            "exception_type": full_type_name(type(error)),
            "traceback": traceback.format_tb(sys.exc_info()[2]),
            "current_inputs": {name: [_shown(value)] for name, value in (inputs or {}).items()},
        }

    def _to_client(self, event: str, data: dict[str, Any]) -> None:
        if self.server.client_id is not None:
            self.server.send_sync(event, {**data, "prompt_id": self.prompt_id}, self.server.client_id)

    def _on_progress(self, node_id: str, value: int, total: int, picture: Image.Image | None) -> None:
        sid = self.server.client_id
        self.progress.update(node_id, value, total)
        with_metadata = picture is not None and self.server.wants_preview_metadata(sid)
        if with_metadata:
            self.server.send_sync(PREVIEW_IMAGE_WITH_METADATA, (picture, self.progress.node_metadata(node_id)), sid)
        data = {"value": value, "max": total, "prompt_id": self.prompt_id, "node": node_id}
        self.server.send_sync("progress", data, sid)
        if picture is not None and not with_metadata:
            self.server.send_sync(UNENCODED_PREVIEW_IMAGE, picture, sid)


def _shown(value: Json) -> Json:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)
