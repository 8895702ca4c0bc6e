"""A literal against the input it is for: ComfyUI's own conversions, limits and choices.

ComfyUI converts before it compares (execution.py, validate_inputs): INT by int(), FLOAT by float(), STRING by str(),
BOOLEAN by bool(), so that "64" is fine for INT, and 64.9 becomes 64.
"""

from typing import Any

from comfyard.workflow.checks.trust import Trust, is_misspelt
from comfyard.workflow.findings import Severity, listed
from comfyard.workflow.node_class import COMBO, DYNAMIC_COMBO, Input

EXACT = 2**53
"""Beyond it, JSON numbers lose digits in everything that reads them as floating point: Helm's values, jq, browsers."""

INT64 = 2**63
"""From it on, the API server itself keeps integers as floating point."""

_FALSE_WORDS = frozenset({"false", "no", "off", "0"})
_LONGEST = 60

Problem = tuple[Severity, str]


def literal_problem(each: Input, value: object, trust: Trust) -> Problem | None:
    """What is wrong with a literal for an input that takes literals; None when nothing is.

    Args:
        each: The input.
        value: The literal.
        trust: In what is known of the input's class.
    """
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    match each.type:
        case "INT":
            return _integer_problem(each, value)
        case "FLOAT":
            return _number_problem(each, value)
        case "BOOLEAN":
            if isinstance(value, str) and value.strip().lower() in _FALSE_WORDS:
                return "Warning", f"the text {shown(value)} counts as true; write false without quotes"
        case _ if each.type in {COMBO, DYNAMIC_COMBO}:
            return _choice_problem(each, value, trust)
    return None


def lost_digits(value: object) -> Problem | None:
    """Whether an integer does not survive JSON as it stands."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) <= EXACT:
        return None
    if isinstance(value, float) or abs(value) >= INT64:
        return "Error", f"{value} loses digits as a JSON number; write the integer that is meant in quotes"
    return "Warning", f'{value} loses digits in tools that read JSON numbers as doubles; write it as "{value}"'


def _integer_problem(each: Input, value: object) -> Problem | None:
    lost = lost_digits(value)
    if lost:
        return lost
    try:
        number = int(value)  # type: ignore[call-overload]  # as ComfyUI does, whatever it is
    except (TypeError, ValueError, OverflowError):
        return "Error", f"{shown(value)} is no integer"
    outside = _range_problem(each, number)
    if outside is None and isinstance(value, float) and not value.is_integer():
        return "Warning", f"{value} is cut to {number}; write an integer"
    return outside


def _number_problem(each: Input, value: object) -> Problem | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # as ComfyUI does, whatever it is
    except (TypeError, ValueError, OverflowError):
        return "Error", f"{shown(value)} is no number"
    return _range_problem(each, number)


def _range_problem(each: Input, number: float) -> Problem | None:
    if each.minimum is not None and number < each.minimum:
        return "Error", f"{_plain(number)} is less than {_plain(each.minimum)}, the least that it takes"
    if each.maximum is not None and number > each.maximum:
        return "Error", f"{_plain(number)} is more than {_plain(each.maximum)}, the most that it takes"
    return None


def _plain(number: float) -> str:
    """100.0 as 100; integers of any size exactly."""
    return str(int(number)) if float(number).is_integer() else str(number)


def _choice_problem(each: Input, value: object, trust: Trust) -> Problem | None:
    if each.choices is None or value in each.choices:
        return None
    told = f"{shown(value)} is not among its choices: {listed(each.choices)}"
    meant = is_misspelt(value, each.choices)
    if meant:
        return "Warning" if trust == "Vague" else "Error", f"{told}; did you mean {meant}?"
    if isinstance(value, str) and value in {str(choice) for choice in each.choices}:
        return "Error", f"{shown(value)} must be written without quotes, as the choices are: {listed(each.choices)}"
    return ("Error", told) if trust == "Exact" else ("Warning", f"{told}; only a newer server could have it")


def shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value for a message: strings in quotes, long ones cut."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
