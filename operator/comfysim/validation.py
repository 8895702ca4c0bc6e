"""Checks of a submitted graph, before it is queued.

ComfyUI 0.3.64 looks at every node's class but otherwise only at what the output nodes can reach. It *converts*
literals in place ("64" becomes 64), so the graph that runs and that the history shows is the converted one. A graph
of which some outputs are sound is accepted, and the other outputs are silently left out of the run.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfysim.errors import full_type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfysim.json_types import Json
    from comfysim.node_catalog import InputSpec, NodeCatalog

Prompt = dict[str, Any]
LONGEST_LIST = 20
LINK_PARTS = 2  # node and slot
CONVERTERS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass
class Verdict:
    """What validation found.

    Attributes:
        error: The refusal, None when the graph was accepted.
        outputs: The output nodes that will run.
        node_errors: Errors by node; may be there although the graph was accepted.
    """

    error: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def request_error(kind: str, message: str, details: str = "") -> dict[str, Any]:
    """Writes the `error` object of a refused prompt.

    Args:
        kind: ComfyUI's error type.
        message: One sentence.
        details: The rest.

    Returns:
        The object.
    """
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


class _CycleError(Exception):
    """A link leads back to a node that is being looked at."""


class Validator:
    """Validates one graph.

    Args:
        catalog: The known classes.
        prompt: The graph; its literals are converted in place.
    """

    def __init__(self, catalog: NodeCatalog, prompt: Prompt) -> None:
        self.catalog = catalog
        self.prompt = prompt
        self.results: dict[str, tuple[bool, list[dict[str, Any]]]] = {}
        self.open: set[str] = set()

    def validate(self, targets: list[str] | None) -> Verdict:
        """Validates the graph.

        Args:
            targets: `partial_execution_targets`, or None for every output node.

        Returns:
            The verdict.

        Raises:
            TypeError: The graph is no object of objects; the real server answers 500 to that, too.
        """
        candidates: list[str] = []
        for node_id in self.prompt:
            node = self.prompt[node_id]
            if "class_type" not in node:
                message = "Cannot execute because a node is missing the class_type property."
                return Verdict(request_error("invalid_prompt", message, f"Node ID '#{node_id}'"))
            known = self.catalog.classes.get(node["class_type"])
            if known is None:
                message = f"Cannot execute because node {node['class_type']} does not exist."
                return Verdict(request_error("invalid_prompt", message, f"Node ID '#{node_id}'"))
            if known.output_node and (targets is None or node_id in targets):
                candidates.append(node_id)
        if not candidates:
            return Verdict(request_error("prompt_no_outputs", "Prompt has no outputs"))

        good: list[str] = []
        texts: list[str] = []
        node_errors: dict[str, Any] = {}
        for output in candidates:
            if self._output(output):
                good.append(output)
            else:
                texts.extend(f"{e['message']}: {e['details']}" for e in self.results[output][1])
                self._blame(output, node_errors)
        if good:
            return Verdict(None, good, node_errors)
        error = request_error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(texts))
        return Verdict(error, [], node_errors)

    def _blame(self, output: str, node_errors: dict[str, Any]) -> None:
        """Lists every faulty node found so far as a reason for this output, as ComfyUI does, related or not."""
        for node_id, (valid, reasons) in self.results.items():
            if not valid and reasons:
                entry = {"errors": reasons, "dependent_outputs": [], "class_type": self.prompt[node_id]["class_type"]}
                node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)

    def _output(self, node_id: str) -> bool:
        try:
            return self._node(node_id)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a graph becomes an answer
            reason = {
                "type": "exception_during_validation",
                "message": "Exception when validating node",
                "details": str(error),
                "extra_info": {
                    "exception_type": full_type_name(type(error)),
                    "traceback": traceback.format_tb(sys.exc_info()[2]),
                },
            }
            self.results[node_id] = (False, [reason])
            return False

    def _node(self, node_id: str) -> bool:
        if node_id in self.results:
            return self.results[node_id][0]
        if node_id in self.open:
            raise _CycleError
        self.open.add(node_id)
        try:
            reasons: list[dict[str, Any]] = []
            valid = True
            inputs = self.prompt[node_id]["inputs"]
            for spec in self.catalog.classes[self.prompt[node_id]["class_type"]].inputs.values():
                if not self._input(spec, inputs, reasons):
                    valid = False
            valid = valid and not reasons
            self.results[node_id] = (valid, reasons)
            return valid
        finally:
            self.open.discard(node_id)

    def _input(self, spec: InputSpec, inputs: dict[str, Any], reasons: list[dict[str, Any]]) -> bool:
        """Checks one input; appends what is wrong with it, and returns False if something upstream is wrong."""
        if spec.name not in inputs:
            if spec.required:
                reasons.append(
                    {
                        "type": "required_input_missing",
                        "message": "Required input is missing",
                        "details": spec.name,
                        "extra_info": {"input_name": spec.name},
                    }
                )
            return True
        value = inputs[spec.name]
        if isinstance(value, list):
            return self._link(spec, value, reasons)
        self._literal(spec, inputs, reasons)
        return True

    def _link(self, spec: InputSpec, value: list[Any], reasons: list[dict[str, Any]]) -> bool:
        if len(value) != LINK_PARTS:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            reasons.append(self._reason("bad_linked_input", message, spec.name, spec, value))
            return True
        source = value[0]
        received = self.catalog.classes[self.prompt[source]["class_type"]].return_types[value[1]]
        config = self.catalog.entry(spec)
        if not types_match(received, config[0]):
            reasons.append(
                {
                    "type": "return_type_mismatch",
                    "message": "Return type mismatch between linked nodes",
                    "details": f"{spec.name}, received_type({received}) mismatch input_type({config[0]})",
                    "extra_info": {
                        "input_name": spec.name,
                        "input_config": config,
                        "received_type": received,
                        "linked_node": value,
                    },
                }
            )
            return True
        try:
            return self._node(source)
        except _CycleError:
            return False
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a graph becomes an answer
            reason = {
                "type": "exception_during_inner_validation",
                "message": "Exception when validating inner node",
                "details": str(error),
                "extra_info": {
                    "input_name": spec.name,
                    "input_config": config,
                    "exception_message": str(error),
                    "exception_type": full_type_name(type(error)),
                    "traceback": traceback.format_tb(sys.exc_info()[2]),
                    "linked_node": value,
                },
            }
            self.results[source] = (False, [reason])
            return False

    def _literal(self, spec: InputSpec, inputs: dict[str, Any], reasons: list[dict[str, Any]]) -> None:
        name = spec.name
        value = inputs[name]
        try:
            if isinstance(value, dict) and "__value__" in value:
                value = value["__value__"]
            if spec.kind in CONVERTERS:
                value = CONVERTERS[spec.kind](value)
            inputs[name] = value
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a graph becomes an answer
            message = f"Failed to convert an input value to a {spec.kind} value"
            reason = self._reason("invalid_input_type", message, f"{name}, {value}, {error}", spec, value)
            reason["extra_info"]["exception_message"] = str(error)
            reasons.append(reason)
            return
        if spec.folder == "input":
            self._input_file(spec, value, reasons)
            return
        minimum, maximum = spec.options.get("min"), spec.options.get("max")
        if minimum is not None and value < minimum:
            message = f"Value {value} smaller than min of {minimum}"
            reasons.append(self._reason("value_smaller_than_min", message, name, spec, value))
        elif maximum is not None and value > maximum:
            message = f"Value {value} bigger than max of {maximum}"
            reasons.append(self._reason("value_bigger_than_max", message, name, spec, value))
        elif spec.is_enum and not spec.v3:
            choices = self.catalog.choices(spec)
            if value not in choices:
                short = len(choices) <= LONGEST_LIST
                listed = str(choices) if short else f"(list of length {len(choices)})"
                reason = self._reason(
                    "value_not_in_list", "Value not in list", f"{name}: '{value}' not in {listed}", spec, value
                )
                if not short:
                    reason["extra_info"]["input_config"] = None
                reasons.append(reason)

    def _input_file(self, spec: InputSpec, value: Json, reasons: list[dict[str, Any]]) -> None:
        """LoadImage and its kin accept any path that exists, not only what their list shows."""
        if not Path(self.catalog.folders.get_annotated_filepath(value)).exists():
            details = f"{spec.name} - Invalid image file: {value}"
            reasons.append(
                self._reason("custom_validation_failed", "Custom validation failed for node", details, spec, value)
            )

    def _reason(self, kind: str, message: str, details: str, spec: InputSpec, value: Json) -> dict[str, Any]:
        return {
            "type": kind,
            "message": message,
            "details": details,
            "extra_info": {
                "input_name": spec.name,
                "input_config": self.catalog.entry(spec),
                "received_value": value,
            },
        }


def types_match(received: str, wanted: str | list[Any]) -> bool:
    """Tells whether a link may join two slots.

    Args:
        received: The type of the output slot.
        wanted: The type of the input, or the list of an enumeration.

    Returns:
        True if they are equal, either is "*", or two comma-separated unions overlap.
    """
    if received == wanted:
        return True
    if not isinstance(wanted, str):
        return received == "*"
    left = {part.strip() for part in received.split(",")}
    right = {part.strip() for part in wanted.split(",")}
    return "*" in left | right or bool(left & right)


def validate_prompt(catalog: NodeCatalog, prompt: Prompt, targets: list[str] | None) -> Verdict:
    """Validates a graph; see `Validator.validate`.

    Args:
        catalog: The known classes.
        prompt: The graph; converted in place.
        targets: The output nodes asked for, or None for all.

    Returns:
        The verdict.
    """
    return Validator(catalog, prompt).validate(targets)
