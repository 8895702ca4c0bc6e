"""How works of one server follow each other."""

import asyncio


class Steps:
    """How far a work is with ComfyUI, for the works after it.

    Attributes:
        queued: Everything of it that ComfyUI will ever have is in the queue; the next may queue behind it.
        left: ComfyUI has nothing of it any more; it is the next one's turn. Files may still be being stored.
    """

    def __init__(self) -> None:
        self.queued = asyncio.Event()
        self.left = asyncio.Event()

    def end(self) -> None:
        """ComfyUI has nothing of it, and will have nothing."""
        self.queued.set()
        self.left.set()
