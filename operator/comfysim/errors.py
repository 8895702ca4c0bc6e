"""The exceptions whose qualified names a client of ComfyUI sees in `exception_type`.

The real ones come from torch and safetensors. A client decides by that name whether to retry, so these carry the
names of the originals although neither library is present.
"""

from __future__ import annotations

OOM_TIPS = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."
)


class OutOfMemoryError(RuntimeError):
    """Shown as `torch.OutOfMemoryError`."""


class SafetensorError(Exception):
    """Shown as `safetensors_rust.SafetensorError`."""


class InterruptProcessingException(Exception):  # noqa: N818 - the name that clients see
    """The interrupt flag was seen; ends the run as "interrupted", not as failed."""


class NotExecutedByStandInError(RuntimeError):
    """A node that validates here but that the stand-in has no behaviour for."""


OutOfMemoryError.__module__ = "torch"
SafetensorError.__module__ = "safetensors_rust"
InterruptProcessingException.__module__ = "comfy.model_management"


def full_type_name(kind: type[BaseException]) -> str:
    """Names an exception type as ComfyUI does: builtins bare, all others with their module.

    Args:
        kind: The type.

    Returns:
        For example "ValueError" or "torch.OutOfMemoryError".
    """
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def out_of_memory(width: int, height: int, batch: int, vram_bytes: int) -> OutOfMemoryError:
    """Words CUDA's out-of-memory error for a picture of that size.

    Args:
        width: Pixels.
        height: Pixels.
        batch: Pictures at once.
        vram_bytes: Memory of the pretended card.

    Returns:
        The exception, to be raised by the caller.
    """
    gib = 1024**3
    wanted = max(width * height * batch * 4096 / gib, 0.02)
    total = vram_bytes / gib
    return OutOfMemoryError(
        f"CUDA out of memory. Tried to allocate {wanted:.2f} GiB. GPU 0 has a total capacity of {total:.2f} GiB of "
        f"which {total * 0.01:.2f} GiB is free. Including non-PyTorch memory, this process has {total * 0.99:.2f} GiB "
        f"memory in use. Of the allocated memory {total * 0.95:.2f} GiB is allocated by PyTorch, and "
        f"{total * 0.02:.2f} GiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large "
        "try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for "
        "Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
    )
