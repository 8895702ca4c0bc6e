"""Checkpoint-shaped .safetensors files of any size, with contents that follow from name and size alone.

Any part of such a file can be made without the rest, so a host of gigabytes needs neither disk nor memory, and two
hosts serve the same bytes. The header has the key names of a Stable Diffusion 1.5 checkpoint; the tensors are scaled
to fill the size, and their values are small fp16 numbers, never NaN.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 1024 * 1024
STRIDE = 131_070  # even, so that halves of fp16 numbers stay halves
ITEM = 2
SMALLEST = 64 * 1024
METADATA = {"format": "pt", "comfysim": "not a model: made to be downloaded and listed, not to be run"}
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def tensor_names() -> dict[str, int]:
    """Names a plausible part of a Stable Diffusion 1.5 checkpoint.

    Returns:
        Key to number of elements in the real model; the proportions are kept in every size.
    """
    names: dict[str, int] = {}
    unet = "model.diffusion_model"
    names[f"{unet}.time_embed.0.weight"] = 320 * 1280
    names[f"{unet}.time_embed.2.weight"] = 1280 * 1280
    names[f"{unet}.input_blocks.0.0.weight"] = 320 * 4 * 9
    for block, width in ((1, 320), (2, 320), (4, 640), (5, 640), (7, 1280), (8, 1280)):
        names.update(_attention(f"{unet}.input_blocks.{block}.1", width))
        names[f"{unet}.input_blocks.{block}.0.in_layers.2.weight"] = width * width * 9
    names.update(_attention(f"{unet}.middle_block.1", 1280))
    for block, width in ((3, 1280), (4, 1280), (6, 640), (7, 640), (9, 320), (10, 320)):
        names.update(_attention(f"{unet}.output_blocks.{block}.1", width))
    names[f"{unet}.out.2.weight"] = 4 * 320 * 9
    vae = "first_stage_model"
    for part in ("encoder.conv_in", "decoder.conv_out"):
        names[f"{vae}.{part}.weight"] = 128 * 3 * 9
    names[f"{vae}.decoder.mid.block_1.conv1.weight"] = 512 * 512 * 9
    names[f"{vae}.encoder.mid.block_1.conv1.weight"] = 512 * 512 * 9
    text = "cond_stage_model.transformer.text_model"
    names[f"{text}.embeddings.token_embedding.weight"] = 49408 * 768
    names[f"{text}.embeddings.position_embedding.weight"] = 77 * 768
    for layer in range(12):
        names[f"{text}.encoder.layers.{layer}.mlp.fc1.weight"] = 3072 * 768
        names[f"{text}.encoder.layers.{layer}.self_attn.q_proj.weight"] = 768 * 768
    names[f"{text}.final_layer_norm.weight"] = 768
    return names


def _attention(prefix: str, width: int) -> dict[str, int]:
    inner = f"{prefix}.transformer_blocks.0"
    names = {f"{prefix}.proj_in.weight": width * width, f"{inner}.norm1.weight": width}
    for attention, context in (("attn1", width), ("attn2", 768)):
        names[f"{inner}.{attention}.to_q.weight"] = width * width
        names[f"{inner}.{attention}.to_k.weight"] = width * context
        names[f"{inner}.{attention}.to_v.weight"] = width * context
    return names


@lru_cache(maxsize=16)
def header_bytes(size: int) -> bytes:
    """Makes the start of a file.

    Args:
        size: Bytes of the whole file.

    Returns:
        Length field and header, padded so that the tensors are aligned and fill the rest exactly.

    Raises:
        ValueError: The size is odd or too small.
    """
    if size < SMALLEST or size % ITEM:
        raise ValueError(f"a checkpoint has an even number of bytes, {SMALLEST} or more, not {size}")
    room = _header(size, 0)
    length = len(room) + 256  # the numbers in the final header are not longer than those of one without header
    length += -length % 8
    header = _header(size - 8 - length, length)
    return struct.pack("<Q", length) + header


def _header(data: int, length: int) -> bytes:
    names = tensor_names()
    elements, real = data // ITEM, sum(names.values())
    header: dict[str, Any] = {"__metadata__": METADATA}
    start = 0
    for index, (name, count) in enumerate(names.items()):
        share = count * elements // real if index < len(names) - 1 else elements - start // ITEM
        end = start + share * ITEM
        header[name] = {"dtype": "F16", "shape": [share], "data_offsets": [start, end]}
        start = end
    return json.dumps(header, separators=(",", ":")).encode().ljust(length)


@lru_cache(maxsize=4)
def _block(seed: str) -> memoryview:
    """Two copies of one block of small fp16 numbers, so that a slice of it can begin anywhere in the first."""
    block = bytearray(hashlib.shake_256(seed.encode()).digest(BLOCK))
    # The high byte has the sign and the exponent: keep the sign, and an exponent that makes at most 0.25.
    small = bytes((value & 0x80) | 0x20 | (value & 0x13) for value in range(256))
    block[1::2] = block[1::2].translate(small)
    return memoryview(bytes(block + block))


class Checkpoint:
    """The bytes of one file.

    Args:
        name: The file's name; another name makes other bytes.
        size: Bytes of the whole file.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.header = header_bytes(size)

    @property
    def etag(self) -> str:
        """A strong ETag: name and size determine every byte."""
        return '"' + hashlib.sha256(f"comfysim checkpoint 1\0{self.name}\0{self.size}".encode()).hexdigest()[:40] + '"'

    def read(self, start: int, end: int) -> Iterator[memoryview]:
        """Makes a part of the file.

        Args:
            start: First byte.
            end: The byte after the last one.

        Yields:
            Pieces of at most 1 MiB, none of them copied.
        """
        if start < len(self.header):
            yield memoryview(self.header)[start : min(end, len(self.header))]
            start = min(end, len(self.header))
        block = _block(f"{Path(self.name).name}\0{self.size}")
        while start < end:
            number, offset = divmod(start - len(self.header), BLOCK)
            length = min(BLOCK - offset, end - start)
            shift = number * STRIDE % BLOCK + offset
            yield block[shift % BLOCK : shift % BLOCK + length]
            start += length

    def sha256(self) -> str:
        """Computes the file's digest.

        Returns:
            In hexadecimal.
        """
        digest = hashlib.sha256()
        for piece in self.read(0, self.size):
            digest.update(piece)
        return digest.hexdigest()


def write_checkpoint(path: str | Path, size_bytes: int) -> str:
    """Writes a file as the model host would serve it under that name.

    Args:
        path: Where to; its last part is the name that the contents follow from.
        size_bytes: How large.

    Returns:
        The SHA-256 in hexadecimal.
    """
    checkpoint = Checkpoint(Path(path).name, size_bytes)
    digest = hashlib.sha256()
    with Path(path).open("wb") as file:
        for piece in checkpoint.read(0, size_bytes):
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def parse_size(text: str) -> int:
    """Reads a size.

    Args:
        text: A number, perhaps with K, M or G (1024-based), with or without "iB".

    Returns:
        Bytes.

    Raises:
        argparse.ArgumentTypeError: It is no size.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in UNITS else ""
    try:
        return int(float(number.removesuffix(unit)) * UNITS[unit])
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2G or 300M") from error


def main(argv: Sequence[str]) -> int:
    """Writes a file: `python -m comfysim.checkpoint PATH SIZE`.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="comfysim.checkpoint", description="Writes a checkpoint-shaped file.")
    parser.add_argument("path")
    parser.add_argument("size", type=parse_size)
    args = parser.parse_args(argv)
    sys.stdout.write(f"{write_checkpoint(args.path, args.size)}  {args.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
