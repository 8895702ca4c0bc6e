"""What a process has cost, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # in /proc/<pid>/stat, counted after the name, which may contain anything


@dataclass(frozen=True)
class Cost:
    """Of a process since its start.

    Attributes:
        cpu: Seconds, of all its threads.
        rss_mib: Resident memory now.
        peak_mib: The most that was ever resident.
    """

    cpu: float
    rss_mib: float
    peak_mib: float


def cost_of(pid: int) -> Cost:
    """What a process has cost so far. Raises FileNotFoundError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Cost(
        cpu=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
        rss_mib=int(status["VmRSS"].split()[0]) / 1024,
        peak_mib=int(status["VmHWM"].split()[0]) / 1024,
    )


def busy_seconds() -> float:
    """Of all processors since the machine was started, by all its processes; what a hypervisor took counts too."""
    user, nice, system, _idle, _iowait, *rest = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / _TICKS


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent do not exceed. Raises ValueError when there is none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
