"""Which of its profiles a job goes to: the first one that it may use and whose servers can start."""

from contextlib import suppress

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.job_observed import Observed, Wait
from comfyard.controller.job_pool import Placement, place
from comfyard.controller.job_status import Status


def choose(job: GenerationJob, accepted: Status, first: int, seen: Observed) -> Placement:
    """The job on one of its profiles. Raises Wait and Wrong as `place` does.

    Args:
        job: The job.
        accepted: Its status with what acceptance has fixed.
        first: Index of the profile to begin with: those before it have too little VRAM.
        seen: What is around.
    """
    usable = _usable(job.spec.profiles[first:], job.metadata.namespace, seen)
    found = place(job, accepted, usable[0], seen)
    if found.pool.name in seen.broken:
        for profile in usable[1:]:
            with suppress(Wait):  # what is missing there is no reason not to wait for the first
                other = place(job, accepted, profile, seen)
                if other.pool.name not in seen.broken:
                    return other
    return found


def _usable(names: list[str], namespace: str, seen: Observed) -> list[HardwareProfile]:
    """The profiles that are there and admit the namespace. Raises Wait when there is none."""
    found: list[HardwareProfile] = []
    waits: list[Wait] = []
    for name in names:
        try:
            found.append(_find(name, namespace, seen))
        except Wait as wait:
            waits.append(wait)
    if not found:
        raise waits[0]
    return found


def _find(name: str, namespace: str, seen: Observed) -> HardwareProfile:
    profile = seen.profiles.get(name)
    if profile is None:
        there = ", ".join(sorted(seen.profiles)) or "none"
        raise Wait(
            "ProfileNotFound", f'hardwareprofiles.comfyard.io "{name}" does not exist (there: {there}); create it'
        )
    if not profile.spec.namespaces.allows(seen.namespace_labels):
        raise Wait(
            "ProfileNotAllowed",
            f"profile {name} does not admit namespace {namespace}; label the namespace as the profile's "
            "spec.namespaces.selector wants, or order with another profile",
        )
    return profile
