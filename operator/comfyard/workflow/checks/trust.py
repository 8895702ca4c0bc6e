"""How far what is known of a class can be trusted: ComfyUI's own facts here are of one version, servers have others.

A false alarm would lock a template out for good: the server that could tell better is only started for a job.
"""

import difflib
from collections.abc import Iterable
from typing import Literal

from comfyard.workflow.object_info import Knowledge, core

Trust = Literal["Exact", "Older", "Vague"]
"""Exact: as the server has it. Older: a newer version may have more choices. Vague: of a package, whose checks may be
its own and whose choices its editor may fill; or of a paid service, whose models come and go."""

_SHORTEST = 4
_LIKENESS = 0.75


def trust_in(name: str, knowledge: Knowledge) -> Trust:
    """How far what is known of a class can be trusted."""
    own = core().find(name)
    if own is None or (own.api_node and not knowledge.complete):
        return "Vague"
    return "Exact" if knowledge.complete else "Older"


def is_misspelt(value: object, choices: Iterable[object]) -> str:
    """The choice that a value is a slip of the pen from; empty when it may well be one of its own.

    The names that a newer version adds differ from the older ones by a number or by a word, not by a letter.
    """
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return ""
    texts = (choice for choice in choices if isinstance(choice, str))
    like = [c for c in texts if abs(len(c) - len(value)) <= 1 and _digits(c) == _digits(value)]
    return next(iter(difflib.get_close_matches(value, like, n=1, cutoff=_LIKENESS)), "")


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))
