"""The worker thread: takes prompts one at a time and runs them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from comfysim.prompt_queue import ExecutionStatus

if TYPE_CHECKING:
    from comfysim.execution import PromptExecutor
    from comfysim.server import PromptServer

log = logging.getLogger("comfysim")

IDLE_SECONDS = 1000.0


def prompt_worker(server: PromptServer, executor: PromptExecutor) -> None:
    """Runs prompts for ever.

    Nothing is caught here: ComfyUI 0.3.64's worker dies of what escapes from a run, and its server goes on answering.

    Args:
        server: The server.
        executor: What runs one prompt.
    """
    queue = server.prompt_queue
    while True:
        taken = queue.get(timeout=IDLE_SECONDS)
        if taken is not None:
            (number, prompt_id, prompt, extra_data, outputs), key = taken
            started = time.perf_counter()
            executor.execute(number, prompt, prompt_id, extra_data, outputs)
            status = ExecutionStatus(
                "success" if executor.success else "error", executor.success, executor.status_messages
            )
            lose = server.runtime.misbehaviour.take("lose_history")
            queue.task_done(key, executor.history_result, status, lose=lose)
            if server.client_id is not None:
                server.send_sync("executing", {"node": None, "prompt_id": prompt_id}, server.client_id)
            log.info("Prompt executed in %.2f seconds", time.perf_counter() - started)
        flags = queue.get_flags()
        free_memory = flags.get("free_memory", False)
        if flags.get("unload_models", free_memory):
            server.runtime.models.unload_all()
        if free_memory:
            executor.cache.clear()


def start_prompt_worker(server: PromptServer, executor: PromptExecutor) -> threading.Thread:
    """Starts the worker.

    Args:
        server: The server.
        executor: What runs one prompt.

    Returns:
        The thread. It is a daemon, so a hanging node does not hold up the end of the process.
    """
    thread = threading.Thread(
        target=prompt_worker, name="Thread-1 (prompt_worker)", daemon=True, args=(server, executor)
    )
    thread.start()
    return thread
