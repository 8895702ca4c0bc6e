"""What is ordered in a simulated cluster, and what became of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from comfyard.api.conditions import timestamp
from comfyard.controller.pools import Pool
from comfyard.controller.queue import Demand
from tests.builders import NOW


@dataclass(frozen=True)
class Job:
    """An order: when it comes, and how long it renders once its models are loaded."""

    demand: Demand
    at: float
    seconds: float

    @classmethod
    def of(cls, name: str, pool: Pool, at: float, seconds: float, **demand: Any) -> "Job":
        """An order that a namespace gives at a time."""
        created = timestamp(NOW + timedelta(seconds=int(at)))
        return cls(Demand((pool.namespace, name), pool, demand.pop("priority", 0), created, **demand), at, seconds)


@dataclass
class Run:
    """What became of a job."""

    job: Job
    began: float = 0.0
    ended: float = 0.0
    executions: int = 0
    completions: int = 0

    @property
    def waited(self) -> float:
        """Seconds from its order to its (last) begin."""
        return self.began - self.job.at
