"""The stand-in's misbehaviour switches as values: their names, kinds and defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Switches:
    """The switches. Counters say how many times more; -1 means without end.

    Attributes:
        step_seconds: Seconds per sampler step instead of the configured ones.
        oom: Executions that run out of memory.
        oom_above: Pictures with more pixels than this run out of memory; a number up to 16384 is an edge, squared.
        error: Executions that fail with `error_text`.
        error_text: The message.
        block: Output nodes that are not run, as behind an ExecutionBlocker: the prompt is a success without them.
        stuck: Executions that hang until the process ends; no interrupt helps.
        dead_worker: Executions that end the worker thread, leaving a server that answers but does nothing.
        crash: Executions that end the process.
        crash_at_step: Before which sampler step.
        refuse: Submissions that get a 400.
        refuse_type: With this error type.
        lose_history: Finished prompts that never appear in the history.
        lose_interrupts: Interrupts that are answered 200 and forgotten.
        interrupt_delay: Seconds before an interrupt sets the flag.
    """

    step_seconds: float | None = None
    oom: int = 0
    oom_above: int | None = None
    error: int = 0
    error_text: str = "comfysim: this node was asked to fail"
    block: int = 0
    stuck: int = 0
    dead_worker: int = 0
    crash: int = 0
    crash_at_step: int = 1
    refuse: int = 0
    refuse_type: str = "prompt_outputs_failed_validation"
    lose_history: int = 0
    lose_interrupts: int = 0
    interrupt_delay: float = 0.0


def parse_switches(base: Switches, changes: Mapping[str, Any]) -> Switches:
    """Applies changes.

    Args:
        base: The switches so far.
        changes: New values by name.

    Returns:
        New switches.

    Raises:
        ValueError: A name is unknown or a value is of the wrong kind.
    """
    values: dict[str, Any] = {}
    known = {f.name: str(f.type) for f in dataclasses.fields(Switches)}
    for name, value in changes.items():
        kind = known.get(name)
        if kind is None:
            raise ValueError(f"unknown switch {name!r}; there are {', '.join(known)}")
        if value is None and "None" in kind:
            values[name] = None
        elif "str" in kind:
            values[name] = str(value)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"switch {name!r} needs a number, not {value!r}")
        else:
            values[name] = float(value) if "float" in kind else int(value)
    return dataclasses.replace(base, **values)
