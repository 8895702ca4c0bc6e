"""What ten thousand jobs cost: runs the sections, prints their tables, writes build/bench/scale.json.

Figures of a section that did not run are null. Machines are noisy: compare counts, and times of one run only.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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


class Figure(NamedTuple):
    """A figure of the report.

    Attributes:
        section: Where it is measured.
        name: What it is called there.
        least: What was promised, if that is a lower bound.
        most: Likewise an upper one.
    """

    section: str
    name: str
    least: float | None = None
    most: float | None = None

    @property
    def promise(self) -> str:
        """For people."""
        bounds = (("≥", self.least), ("≤", self.most))
        return "".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def keeps(self, value: float) -> bool:
        """Whether that is what was promised."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


FIGURES: dict[str, Figure] = {
    "jobs_per_second": Figure("replay", "jobs_per_second", least=45),
    "system_jobs_per_second": Figure("system", "jobs_per_second", least=15),
    "writes_per_job": Figure("replay", "writes_per_job", most=5),
    "submit_p50_ms": Figure("burst", "submit_p50_ms", most=150),
    "submit_p99_ms": Figure("burst", "submit_p99_ms", most=1000),
    "gpu_gap_ms": Figure("gap", "gpu_gap_p50_ms", most=20),
    "operator_rss_mib_10k": Figure("restart", "peak_rss_mib", most=200),
    "restart_seconds": Figure("restart", "restart_seconds", most=30),
    "restart_reruns": Figure("restart", "restart_reruns", most=0),
    "switches_vs_fifo": Figure("trace", "switches_vs_fifo", most=0.2),
    "growth": Figure("growth", "growth"),
}


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
    show_promises(figures)
    say(f"written to {report.relative_to(ROOT)}")
    if failed:
        raise SystemExit(f"sections that have failed: {', '.join(failed)}")


def figures_of(details: Mapping[str, Section]) -> dict[str, Any]:
    """The figures of the report; null where a section did not run."""
    return {name: details.get(each.section, {}).get(each.name) for name, each in FIGURES.items()}


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


def show_promises(figures: Mapping[str, Any]) -> None:
    """A table of what was promised, and whether it was kept here."""
    here = machine()
    where = f"{here['processors']} processors ({here['processor']}), {here['memory_gib']} GiB"
    table = Table("figure", "measured", "promised", "kept", title=f"promises, on {where}")
    for name, figure in FIGURES.items():
        value = figures[name]
        if value is None:
            table.add_row(name, "did not run", figure.promise, "")
        else:
            kept = ("yes" if figure.keeps(value) else "NO") if figure.promise else ""
            table.add_row(name, str(value), figure.promise, kept)
    Console().print(table)


def _rows(name: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [row for key, each in value.items() for row in _rows(f"{name}: {key}", each)]
    if isinstance(value, list):
        return [row for index, each in enumerate(value) for row in _rows(f"{name} {index + 1}", each)]
    return [(name, value)]
