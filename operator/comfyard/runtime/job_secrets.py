"""Which Secrets the agents of a namespace need: those that its unfinished jobs name, and no others."""

from collections.abc import Mapping
from typing import Any

from comfyard.api.output import OutputStore
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.runtime.cache import Cache
from comfyard.runtime.job_facts import secrets_of


def secrets_of_jobs(cache: Cache, namespace: str) -> set[str]:
    """Names of the Secrets, also of those that an unfinished job's source has stored its results with."""
    sources = (cache.get(GENERATION_JOB, namespace, name) for name in cache.jobs.sources(namespace))
    return cache.jobs.secrets(namespace).union(*(secrets_of_results(s.get("status", {})) for s in sources if s))


def secrets_of_results(status: Mapping[str, Any]) -> set[str]:
    """What the place for results needs that a job's status has decided on."""
    decided = status.get("output")
    return secrets_of(OutputStore.model_validate(decided)) if decided else set()
