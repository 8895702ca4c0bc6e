"""What servers have done lately: for whom, and how long a job takes."""

from comfyard.api.meta import LABEL_POOL
from comfyard.controller.fair_share import Usage
from comfyard.controller.queue import PoolKey
from comfyard.kube.kinds import Obj
from comfyard.runtime.job_index import Ended

_WEIGHT = 0.2
"""Of the latest job in the mean: after ten others, a job counts for a tenth of what it did."""


class Tally:
    """Counted from the attempts that jobs tell of.

    Attributes:
        usage: GPU seconds by namespace.
        seconds: That a job takes, by pool; a mean in which the latest count most.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.seconds: dict[PoolKey, float] = {}

    def take(self, ended: Ended, pod: Obj | None) -> None:
        """Count an attempt; `pod` is that of its server, if it is still there."""
        pool = (pod["metadata"].get("labels") or {}).get(LABEL_POOL) if pod else None
        if pool is None or not ended.rendered:
            return
        key = (ended.server[0], str(pool))
        before = self.seconds.get(key, ended.seconds)
        self.seconds[key] = before + _WEIGHT * (ended.seconds - before)
