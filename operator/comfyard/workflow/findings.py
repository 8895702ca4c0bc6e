"""What a check finds: how bad it is, where, and a sentence for a person."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["Error", "Warning"]
"""An error stops a template or a job for good; a warning may be right or wrong, and stops nothing."""

Place = tuple[str | int, ...]
"""Keys from the top of a manifest, such as ("spec", "graph", "3", "inputs", "seed")."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong.

    Attributes:
        severity: Whether it stops anything.
        place: What it is about. Where a key is missing, the place of the object that lacks it.
        message: The place in words, the cause, and the fix.
    """

    severity: Severity
    place: Place
    message: str

    @property
    def is_error(self) -> bool:
        """Whether it stops the template or the job."""
        return self.severity == "Error"


def error(place: Place, message: str) -> Finding:
    """Something that will not work."""
    return Finding("Error", place, message)


def warning(place: Place, message: str) -> Finding:
    """Something that a person should look at."""
    return Finding("Warning", place, message)


def errors(findings: Iterable[Finding]) -> list[str]:
    """The messages of the errors, in order, each once."""
    return list(dict.fromkeys(each.message for each in findings if each.is_error))


def warnings(findings: Iterable[Finding]) -> list[str]:
    """The messages of the warnings, in order, each once."""
    return list(dict.fromkeys(each.message for each in findings if not each.is_error))


def alike(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty when none is like it."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), "")


def listed(names: Iterable[object], most: int = 12) -> str:
    """Names for a message, the first few of many."""
    every = [str(name) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "none") + more
