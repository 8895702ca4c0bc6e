"""What this server is to work on."""

from collections.abc import Mapping

from comfyard.api.generation_job import Assignment, GenerationJob
from comfyard.kube.kinds import Obj


class Assignments:
    """Reads them from the jobs that the API server tells of; each version of a job once."""

    def __init__(self, server: str) -> None:
        """The assignments of that server."""
        self._server = server
        self._read: dict[str, tuple[Obj, GenerationJob]] = {}

    def among(self, objects: Mapping[str, Obj]) -> list[tuple[Assignment, GenerationJob]]:
        """What to work on, in its order.

        The oldest assignment first. Its time has a resolution of a second; of the same second, the order is that of
        the queue. All of it is said by the jobs themselves, so that a new LIST or another agent finds the same order.

        Args:
            objects: Jobs by name.
        """
        self._read = {name: self._once(name, obj) for name, obj in objects.items()}
        found = [(assigned_here(job, self._server), job) for _, job in self._read.values()]
        return sorted(((assignment, job) for assignment, job in found if assignment), key=_place)

    def _once(self, name: str, obj: Obj) -> tuple[Obj, GenerationJob]:
        known = self._read.get(name)
        return known if known and known[0] is obj else (obj, GenerationJob.model_validate(obj))


def assigned_here(job: GenerationJob, server: str) -> Assignment | None:
    """The assignment to work on: to this server, of a job that is neither finished, suspended nor being deleted."""
    assignment = job.status.assignment
    if assignment is None or assignment.server != server:
        return None
    if job.is_finished() or job.spec.suspend or job.metadata.deletion_timestamp:
        return None
    return assignment


def _place(one: tuple[Assignment, GenerationJob]) -> tuple[str, int, str, str]:
    assignment, job = one
    return assignment.time, -job.spec.priority, job.metadata.creation_timestamp, job.metadata.name
