"""One download by one client: `python -m hack.bench.fetch hashed|plain|hub URL FILE` prints its seconds and memory."""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COMMIT = "c" * 40
"""The revision that every resolve address of the benchmark's hub names."""


Client = Callable[[str, Path], None]


def ours(*, hashed: bool) -> Client:
    """The store's downloader, with or without a digest."""
    from comfyard.api.model_bundle import HttpSource  # noqa: PLC0415 - only what is measured is in memory
    from comfyard.store.http.web import Web  # noqa: PLC0415
    from comfyard.store.sources.http import HttpOrigin  # noqa: PLC0415
    from comfyard.store.stop import Stop  # noqa: PLC0415
    from comfyard.store.transfer.download import Options, download  # noqa: PLC0415
    from comfyard.store.transfer.journal import Partial  # noqa: PLC0415
    from comfyard.store.transfer.space import Space  # noqa: PLC0415

    def fetch(url: str, file: Path) -> None:
        partial, space = Partial(file.parent, "bench"), Space(file.parent)
        origin = HttpOrigin("bench", HttpSource(url=url))
        with Web() as web:
            download(origin, web, partial, space, lambda _: None, Stop(), Options(hashed=hashed))
        partial.data.rename(file)

    return fetch


def hub() -> Client:
    """huggingface_hub's own, over plain HTTP."""
    os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when it is imported
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    def fetch(url: str, file: Path) -> None:
        address, name = url.rsplit("/", 1)
        with tempfile.TemporaryDirectory(dir=file.parent) as local:
            found = hf_hub_download(
                "bench/model", name, revision=COMMIT, local_dir=local, endpoint=address, token=False
            )
            Path(found).rename(file)

    return fetch


def main(how: str, url: str, file: Path) -> None:
    """Download and tell."""
    client = hub() if how == "hub" else ours(hashed=how == "hashed")
    began = time.monotonic()
    client(url, file)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "rss_mib": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
