"""Which contents of a template are kept.

Its ControllerRevisions have no owner on purpose: the garbage collector would take them with the template, under
running jobs.
"""

from collections.abc import Collection, Iterable, Sequence

from comfyard.kube.kinds import Obj, name_of

KEPT = 10
"""Old contents that stay though no job waits for them: for looking at, and to go back to. So many as Deployments and
StatefulSets keep (revisionHistoryLimit); each has up to 100 kB."""


def superfluous(revisions: Sequence[Obj], current: str, needed: Collection[str], *, template_exists: bool) -> list[str]:
    """Names of the revisions of one template to delete, oldest first.

    Args:
        revisions: All that are kept of it.
        current: The one that jobs are accepted with now.
        needed: Those that unfinished jobs were accepted with.
        template_exists: Once it is gone, nothing stays but for jobs.
    """
    if not template_exists:
        return _names(r for r in revisions if name_of(r) not in needed)
    spare = [r for r in revisions if name_of(r) != current and name_of(r) not in needed]
    return _names(spare)[: max(0, len(spare) - KEPT)]


def _names(revisions: Iterable[Obj]) -> list[str]:
    return [name_of(r) for r in sorted(revisions, key=lambda r: int(r["revision"]))]
