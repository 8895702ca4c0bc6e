"""What ten thousand jobs cost: runs the sections, prints their tables, writes build/bench/scale.json.

Figures of a section that did not run are null. Machines are noisy: compare counts, and times of one run only.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hack.bench import fairness, gap, load, replay, scaling, system, trace
from hack.bench.player import BenchError
from hack.cluster.process import say
from hack.demo.cluster import CommandError

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "bench" / "scale.json"
Section = dict[str, Any]
JOBS = 10000

SECTIONS: dict[str, Callable[[int | None], Section]] = {
    "replay": lambda jobs: asyncio.run(replay.replay(jobs or JOBS)),
    "system": lambda jobs: asyncio.run(system.system(jobs or JOBS)),
    "burst": lambda _: asyncio.run(replay.burst()),
    "gap": lambda jobs: asyncio.run(gap.gap(jobs or gap.JOBS)),
    "restart": lambda jobs: asyncio.run(load.restart(jobs or load.RESTART_JOBS)),
    "growth": lambda jobs: asyncio.run(load.growth([d for d in load.DEPTHS if d <= (jobs or max(load.DEPTHS))])),
    "trace": lambda _: trace.trace(),
    "fairness": lambda _: fairness.fairness(),
    "scaling": lambda _: asyncio.run(scaling.scaling()),
}
"""What each section measures, by its name; the argument is how many jobs, if somebody has chosen."""

FIGURES: dict[str, tuple[str, str]] = {
    "jobs_per_second": ("replay", "jobs_per_second"),
    "system_jobs_per_second": ("system", "jobs_per_second"),
    "writes_per_job": ("replay", "writes_per_job"),
    "submit_p50_ms": ("burst", "submit_p50_ms"),
    "submit_p99_ms": ("burst", "submit_p99_ms"),
    "gpu_gap_ms": ("gap", "gpu_gap_p50_ms"),
    "operator_rss_mib_10k": ("restart", "peak_rss_mib"),
    "restart_seconds": ("restart", "restart_seconds"),
    "restart_reruns": ("restart", "restart_reruns"),
    "switches_vs_fifo": ("trace", "switches_vs_fifo"),
    "growth": ("growth", "growth"),
}
"""Where each figure of the report comes from: section and name."""


def main(only: str | None, jobs: int | None) -> None:
    """Run all sections or one of them; what a failed one would have said is missing, and the exit status tells."""
    details: dict[str, Section] = {}
    failed: list[str] = []
    for name, measure in SECTIONS.items():
        if only in (None, name):
            try:
                details[name] = measure(jobs)
            except* (BenchError, CommandError, TimeoutError) as errors:
                say(f"{name} has failed: {errors!r}")
                failed.append(name)
            else:
                show(name, details[name])
    figures = figures_of(details)
    report = REPORT if only is None else REPORT.with_name(f"scale-{only}.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps({**figures, "details": {**details, "machine": machine()}}, indent=2) + "\n")
    show("scale", {**figures, **machine()})
    say(f"written to {report.relative_to(ROOT)}")
    if failed:
        raise SystemExit(f"sections that have failed: {', '.join(failed)}")


def figures_of(details: Mapping[str, Section]) -> dict[str, Any]:
    """The figures of the report; null where a section did not run."""
    return {name: details.get(section, {}).get(figure) for name, (section, figure) in FIGURES.items()}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {"processors": os.cpu_count(), "processor": model, "memory_gib": round(memory, 1)}


def show(title: str, section: Mapping[str, Any]) -> None:
    """A table of one section."""
    table = Table("figure", "value", title=title)
    for name, value in section.items():
        for label, each in _rows(name, value):
            table.add_row(label, "did not run" if each is None else str(each))
    Console().print(table)


def _rows(name: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [row for key, each in value.items() for row in _rows(f"{name}: {key}", each)]
    if isinstance(value, list):
        return [row for index, each in enumerate(value) for row in _rows(f"{name} {index + 1}", each)]
    return [(name, value)]
