"""Words for whoever looks at the pod: kubelet shows them in its status once the agent's container has ended."""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_BOUND = 4096
"""Bytes that kubelet takes."""


def tell(path: Path, reason: str, message: str) -> None:
    """Write one line of JSON with reason and message, in the place of what was told before.

    Args:
        path: The file that kubelet has mounted for it; without one there is nobody to tell.
        reason: A word for programs.
        message: For a person; cut at its end to what kubelet takes.
    """
    text = message
    while len(line := json.dumps({"reason": reason, "message": text}, ensure_ascii=False).encode()) > _BOUND:
        text = text[: len(text) * 3 // 4]
    log.error("%s: %s", reason, message)
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
