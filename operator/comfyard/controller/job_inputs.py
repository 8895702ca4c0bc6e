"""The files that a job takes from elsewhere in its namespace: claims that must be there, jobs that must be Complete."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from comfyard.api.conditions import COMPLETE, is_true
from comfyard.api.generation_job import GenerationJob, JobInput, JobOutput, Result
from comfyard.controller.job_observed import Observed, Wait, Wrong


def input_claims(job: GenerationJob, seen: Observed) -> frozenset[str]:
    """The claims that a server needs for the job's inputs.

    Raises Wait while something is not there yet, and Wrong when it will never be.
    """
    _refuse_cycle(job, seen)
    return frozenset(claim for given in job.spec.inputs if (claim := _claim_of(job, given, seen)))


def _claim_of(job: GenerationJob, given: JobInput, seen: Observed) -> str:
    """The claim that holds one input; empty when it is fetched from elsewhere."""
    where = f"input of parameter {given.parameter}"
    if given.claim:
        return _existing(given.claim.name, where, seen)
    if given.job:
        address = urlsplit(_result(job, given.job, where, seen).uri)
        return _existing(address.netloc, f"{where}, of job {given.job.name}", seen) if address.scheme == "claim" else ""
    return ""


def _existing(claim: str, where: str, seen: Observed) -> str:
    if claim not in seen.claims:
        raise Wait("ClaimNotFound", f'PersistentVolumeClaim "{claim}" ({where}) does not exist; create it')
    return claim


def _result(job: GenerationJob, wanted: JobOutput, where: str, seen: Observed) -> Result:
    """The other job's result. What it made is only told once it is Complete."""
    other = seen.jobs.get(wanted.name)
    if other is None or other.metadata.deletion_timestamp:
        raise Wait(
            "JobNotFound",
            f'generationjobs.comfyard.io "{wanted.name}" ({where}) is not in namespace "{job.metadata.namespace}"; '
            "create it, or order again with another input",
        )
    if other.is_finished() and not is_true(other.status.conditions, COMPLETE):
        message = f"job {wanted.name} ({where}) has failed: {other.status.message}; order both again"
        raise Wrong("InputFailed", message)
    if wanted.index >= other.spec.count:
        message = f"job {wanted.name} ({where}) has no index {wanted.index}, its count is {other.spec.count}"
        raise Wrong("InputFailed", f"{message}; order again with a smaller index")
    if not other.is_finished():
        paused = ", which is suspended" if other.spec.suspend else ""
        raise Wait("InputNotReady", f"waits for job {wanted.name} to complete ({where}){paused}")
    found = (r for r in other.status.outputs if (r.name, r.index) == (wanted.output, wanted.index))
    result = next(found, None)
    if result is None:
        there = ", ".join(dict.fromkeys(f"{r.name} {r.index}" for r in other.status.outputs)) or "none"
        message = f"job {wanted.name} ({where}) made no {wanted.output} {wanted.index}; it made: {there}"
        raise Wrong("InputFailed", f"{message}; order again with one of these")
    return result


def _refuse_cycle(job: GenerationJob, seen: Observed) -> None:
    own = job.metadata.name
    before: dict[str, str] = {}
    todo = [own]
    for name in todo:
        for needed in _waits_for(job if name == own else seen.jobs.get(name)):
            if needed == own:
                circle = " takes from ".join([own, *reversed(list(_path(name, before))), own])
                message = f"jobs wait for each other's results: {circle}"
                raise Wrong("InputCycle", f"{message}; order them again without the circle")
            if needed not in before:
                before[needed] = name
                todo.append(needed)


def _path(name: str, before: dict[str, str]) -> Iterator[str]:
    """From a job back to the one that the search began with, that one left out."""
    while name in before:
        yield name
        name = before[name]


def _waits_for(job: GenerationJob | None) -> list[str]:
    """The jobs that one takes inputs from. One that is Complete waits for nobody, whatever has their names now."""
    if job is None or is_true(job.status.conditions, COMPLETE):
        return []
    return [given.job.name for given in job.spec.inputs if given.job]
