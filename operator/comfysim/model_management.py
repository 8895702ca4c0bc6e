"""Which model files are pretended to be loaded, and the interrupt flag."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from comfysim.errors import InterruptProcessingException
from comfysim.safetensors import read_header


class InterruptFlag:
    """ComfyUI's one interrupt flag for the whole process.

    It is only a flag: set at once, honoured at a node's start and between sampler steps, and reset at the start of
    every execution, so that an interrupt right after a submission can be lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False

    def set(self, *, value: bool = True) -> None:
        """Sets or resets it.

        Args:
            value: The new state.
        """
        with self._lock:
            self._set = value

    def throw_if_set(self) -> None:
        """Ends the current node if the flag is set, and resets it.

        Raises:
            InterruptProcessingException: It was.
        """
        with self._lock:
            if self._set:
                self._set = False
                raise InterruptProcessingException


class ModelManager:
    """Pretends to load model files: checks them, and takes the time a disk would.

    Args:
        bytes_per_second: Reading rate; 0 means at once.
        vram_bytes: Memory of the card.
        keep_all: Keep models of earlier prompts while they fit (--cache-lru), instead of only the last prompt's.
    """

    def __init__(self, bytes_per_second: float, vram_bytes: int, *, keep_all: bool = False) -> None:
        self.bytes_per_second = bytes_per_second
        self.vram_bytes = vram_bytes
        self.keep_all = keep_all
        self.loaded: dict[str, int] = {}

    def begin_prompt(self, wanted: set[str]) -> None:
        """Forgets models the new prompt does not name: with them their cached loaders are gone, too.

        Args:
            wanted: Paths of the model files that the prompt names.
        """
        if not self.keep_all:
            self.loaded = {path: size for path, size in self.loaded.items() if path in wanted}

    def load(self, path: str) -> int:
        """Loads one file.

        Args:
            path: The file.

        Returns:
            Its size.

        Raises:
            SafetensorError: It is a .safetensors file and not whole.
            EOFError: It is empty.
        """
        file = Path(path)
        size = file.stat().st_size
        if file.suffix in {".safetensors", ".sft"}:
            read_header(file)
        elif size == 0:
            raise EOFError("Ran out of input")
        if self.loaded.get(path) != size:
            if self.bytes_per_second > 0:
                time.sleep(size / self.bytes_per_second)
            self.loaded.pop(path, None)
            while self.loaded and sum(self.loaded.values()) + size > self.vram_bytes:
                del self.loaded[next(iter(self.loaded))]
            self.loaded[path] = size
        return size

    def unload_all(self) -> None:
        """Empties the card: /free, and after an out-of-memory error."""
        self.loaded = {}

    def free_vram(self) -> int:
        """Tells what is left of the card's memory.

        Returns:
            Bytes.
        """
        return max(self.vram_bytes - sum(self.loaded.values()), 0)
