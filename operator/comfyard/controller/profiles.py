"""What happens to a HardwareProfile: accepted, and its servers counted."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from comfyard.api.conditions import ConditionSet
from comfyard.api.hardware_profile import HardwareProfile, ServerCounts
from comfyard.controller.pools import Server


def plan(
    profile: HardwareProfile, status: Mapping[str, Any], servers: Sequence[Server], queued: int, now: datetime
) -> dict[str, Any]:
    """The status that should be. `servers` are those of this profile, `queued` the jobs that wait for one."""
    here = [s for s in servers if not s.leaving]
    counts = ServerCounts(
        total=len(here),
        starting=sum(not s.ready and s.job is None for s in here),
        idle=sum(s.is_idle for s in here),
        busy=sum(s.job is not None for s in here),
    )
    conditions = ConditionSet(profile.status.conditions, profile.metadata.generation, now)
    trouble = next((f"server {s.name}: {s.trouble}" for s in here if s.trouble), None)
    conditions.ready("Accepted", trouble or "servers start when jobs need them")
    return {
        **status,
        "observedGeneration": profile.metadata.generation,
        "conditions": conditions.to_api(),
        "servers": counts.to_api(),
        "queued": queued,
    }
