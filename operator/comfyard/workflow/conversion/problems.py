"""Why a workflow cannot be converted."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """What kind of problem it is."""

    FORMAT = "Format"
    """This is no workflow of the editor, or a damaged one."""
    UNKNOWN_CLASS = "UnknownClass"
    """The node's class is not known: a custom node's, or of another version of ComfyUI."""
    VALUES = "Values"
    """The widgets' values do not fit the class, which is another version's, so that nobody can tell whose they are."""
    LINK = "Link"
    """A link from or to something that is not there, or in a circle."""
    MISSING = "Missing"
    """A required input has neither a link nor a value."""
    BROWSER = "Browser"
    """The value is made in the browser when somebody presses Run: a picture of the camera, a view of a 3D scene."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        reason: Its kind.
        node: The id in API format (`57:8`); empty for the workflow as a whole.
        class_type: The node's class.
        input: The input; empty for the whole node.
        message: Cause and fix.
    """

    reason: Reason
    node: str
    class_type: str
    input: str
    message: str

    def describe(self) -> str:
        """One sentence that names the place, the cause and the fix."""
        where = f"node {self.node} ({self.class_type}): " if self.node else ""
        return f"{where}{f'input {self.input} ' if self.input else ''}{self.message}"
