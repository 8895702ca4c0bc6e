"""`make bench-store`: the store's downloads against curl, aria2 and huggingface_hub, as ratios in one run.

Runs in a network namespace of its own, so that the link can be as narrow as it is told to be. Everything is written to
memory: the links are what is compared, not the disk, which has a table of its own. Clients take turns, and the medians
count. Writes build/bench/store.json.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hack.bench.fetch import COMMIT
from hack.cluster import packages
from hack.cluster.process import run, say, wait_until

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "bench" / "store.json"
MEMORY = Path("/dev/shm")  # noqa: S108 - what is not written to a disk
NEEDED = {"nginx": "nginx-light", "aria2c": "aria2", "curl": "curl", "tc": "iproute2"}
REPEATS = 3
MIB = 1024 * 1024
PORT = 8080


@dataclass(frozen=True)
class Link:
    """One way to the server.

    Attributes:
        path: The server's folder, which has the limit of a connection.
        mib: Size of the file; a slow link needs less for a steady figure.
        total: Bytes per second of all connections together; None: no limit.
    """

    name: str
    path: str
    mib: int
    total: int | None = None


LOOPBACK = Link("loopback", "fast", 1024)
CAPPED = Link("50 MiB/s a connection", "slow", 512)
TOTAL = Link("200 MB/s in total", "fast", 1024, 200_000_000)
LINKS = (LOOPBACK, CAPPED, TOTAL)
DISK = Link("loopback to this disk, until it would survive a crash", "fast", 1024)


@dataclass(frozen=True)
class Result:
    """One download: how long it took and, for programs of their own, the most memory they had."""

    seconds: float
    rss_mib: int


@dataclass(frozen=True)
class Client:
    """One way to download: its name, and the command for an address and a file."""

    name: str
    command: Callable[[str, Path], list[str]]


OURS = "ours"
OURS_UNHASHED = "ours, no digest"
CURL = "curl"
CLIENTS = (
    Client(CURL, lambda url, file: ["curl", "--silent", "--fail", "--output", str(file), url]),
    Client(
        "aria2, 8 connections",
        lambda url, file: [
            *("aria2c", "--quiet", "--split=8", "--max-connection-per-server=8", "--min-split-size=1M"),
            *("--file-allocation=none", f"--dir={file.parent}", f"--out={file.name}", url),
        ],
    ),
    Client("huggingface_hub", lambda url, file: [sys.executable, "-m", "hack.bench.fetch", "hub", url, str(file)]),
    Client(OURS_UNHASHED, lambda url, file: [sys.executable, "-m", "hack.bench.fetch", "plain", url, str(file)]),
    Client(OURS, lambda url, file: [sys.executable, "-m", "hack.bench.fetch", "hashed", url, str(file)]),
)


def main() -> None:
    """Measure, print, write the report."""
    packages.install(NEEDED)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="comfyard-bench-") as folder, serving(Path(folder)):
        results = {link: measure(link, Path(folder)) for link in LINKS}
        disk = durable(Path(folder))
    figures = figures_of(results, disk)
    REPORT.write_text(json.dumps(figures, indent=2) + "\n")
    show(results | {DISK: disk}, figures)


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """A web server with one file a link, which also answers as Hugging Face does."""
    site = folder / "site"
    site.mkdir()
    for mib in {link.mib for link in LINKS}:
        with (site / f"file-{mib}").open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
    config = folder / "nginx.conf"
    config.write_text(nginx_config(folder, site))
    process = subprocess.Popen(["nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        if not wait_until((folder / "nginx.pid").exists, 10):
            raise SystemExit(f"nginx did not start: {(folder / 'error.log').read_text()}")
        yield
    finally:
        process.terminate()
        process.wait()


def nginx_config(folder: Path, site: Path) -> str:
    """Two folders with the same files, and what a resolve address of a hub says besides."""
    temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
    hub = f'add_header X-Repo-Commit {COMMIT}; add_header X-Linked-Etag "\\"{"e" * 64}\\"";'
    resolve = f"bench/model/resolve/{COMMIT}/(.*)$"
    return f"""
daemon off; master_process on; worker_processes 2; user root;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000;
{temporary}  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{PORT};
    location ~ ^/fast/{resolve} {{ alias {site}/$1; {hub} }}
    location ~ ^/slow/{resolve} {{ alias {site}/$1; limit_rate 50m; {hub} }}
    location /fast/ {{ alias {site}/; }}
    location /slow/ {{ alias {site}/; limit_rate 50m; }}
  }}
}}
"""


def measure(link: Link, folder: Path) -> dict[str, list[Result]]:
    """All clients in turns over one link."""
    results: dict[str, list[Result]] = {client.name: [] for client in CLIENTS}
    expected = digest(folder / "site" / f"file-{link.mib}")
    with narrowed(link.total):
        for turn in range(REPEATS):
            for client in CLIENTS:
                say(f"{link.name}: {client.name}, {turn + 1} of {REPEATS}")
                results[client.name].append(fetch(link, client, folder / "target", expected))
    return results


@contextmanager
def narrowed(total: int | None) -> Iterator[None]:
    """The loopback of this namespace, with so many bytes per second."""
    if total is None:
        yield
        return
    shape = ("tbf", "rate", f"{total * 8}bit", "burst", "1mb", "latency", "50ms")
    run("tc", "qdisc", "replace", "dev", "lo", "root", *shape)
    try:
        yield
    finally:
        run("tc", "qdisc", "del", "dev", "lo", "root")


def fetch(link: Link, client: Client, target: Path, expected: str, *, synced: bool = False) -> Result:
    """One download into an empty folder, until the disk has it if it is to be synced; a wrong one is no result."""
    target.mkdir()
    try:
        url = f"http://127.0.0.1:{PORT}/{link.path}/file-{link.mib}"
        output = target / "file"
        began = time.monotonic()
        process = subprocess.Popen(client.command(url, output), stdout=subprocess.PIPE, text=True)
        said, _ = process.communicate()
        ended = time.monotonic()
        if synced:
            sync(output)
        after = time.monotonic() - ended
        if process.returncode or digest(output) != expected:
            raise SystemExit(f"{client.name} over {link.name} failed")
        # Python says itself how long it took: starting it is no part of a download.
        own = Result(**json.loads(said)) if said else Result(ended - began, 0)
        return Result(own.seconds + after, own.rss_mib)
    finally:
        shutil.rmtree(target)


def sync(file: Path) -> None:
    """Wait until the disk has all of a file."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def digest(file: Path) -> str:
    """BLAKE2b of a file, once more by something else than what is measured."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def durable(folder: Path) -> dict[str, list[Result]]:
    """Over loopback to this checkout's disk, fsync included: what others leave to the kernel counts for them too."""
    results: dict[str, list[Result]] = {CURL: [], OURS_UNHASHED: [], OURS: []}
    clients = [client for client in CLIENTS if client.name in results]
    expected = digest(folder / "site" / f"file-{DISK.mib}")
    with tempfile.TemporaryDirectory(dir=REPORT.parent) as disk:
        for turn in range(REPEATS):
            for client in clients:
                say(f"{DISK.name}: {client.name}, {turn + 1} of {REPEATS}")
                results[client.name].append(fetch(DISK, client, Path(disk) / "target", expected, synced=True))
    return results


def figures_of(results: dict[Link, dict[str, list[Result]]], disk: dict[str, list[Result]]) -> dict[str, float]:
    """What the project promises, from one run."""
    return {
        "loopback_vs_curl": round(median(results[LOOPBACK][CURL]) / median(results[LOOPBACK][OURS_UNHASHED]), 2),
        "durable_vs_curl": round(median(disk[CURL]) / median(disk[OURS_UNHASHED]), 2),
        "capped_vs_curl": round(median(results[CAPPED][CURL]) / median(results[CAPPED][OURS]), 2),
        "hash_overhead": round(median(results[TOTAL][OURS]) / median(results[TOTAL][OURS_UNHASHED]) - 1, 3),
        "peak_rss_mib": max(result.rss_mib for by_client in results.values() for result in by_client[OURS]),
    }


def median(results: list[Result]) -> float:
    """Seconds."""
    return statistics.median(result.seconds for result in results)


def show(results: dict[Link, dict[str, list[Result]]], figures: dict[str, float]) -> None:
    """A table a link, and the figures."""
    console = Console()
    for link, by_client in results.items():
        table = Table("client", "MB/s", "range", "x curl", "peak MiB", title=f"{link.mib} MiB over {link.name}")
        curl = median(by_client[CURL])
        for name, found in by_client.items():
            speeds = sorted(link.mib * MIB / result.seconds / 1e6 for result in found)
            rss = max(result.rss_mib for result in found)
            table.add_row(
                name,
                f"{statistics.median(speeds):.0f}",
                f"{speeds[0]:.0f}-{speeds[-1]:.0f}",
                f"{curl / median(found):.2f}",
                str(rss or ""),
            )
        console.print(table)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, str(value))
    console.print(table)


if __name__ == "__main__":
    main()
