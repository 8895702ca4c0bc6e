"""What can go wrong between us and a ComfyUI server, as one small tree."""

from collections.abc import Sequence


class ComfyError(Exception):
    """ComfyUI refused a request, gave an answer that cannot be used, or could not be reached."""


class UnreachableError(ComfyError):
    """No answer; for a POST /prompt that means an unknown outcome, as the prompt may have been queued.

    Attributes:
        gone: Nobody listens on the port: the process has ended, or has not finished importing its custom nodes.
    """

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__(message)
        self.gone = gone


class RefusedError(ComfyError):
    """The graph did not pass ComfyUI's validation.

    It may be in the queue all the same: ComfyUI takes a graph of which one output node is sound, and leaves the others
    out without a word when it runs.

    Attributes:
        problems: One sentence each, with node and input.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class AnswerError(ComfyError):
    """An answer outside the contract, such as a 500 or something that is not JSON."""


class UnserialisableError(AnswerError):
    """A node returned something that ComfyUI cannot write as JSON, so that the prompt's history entry is a 500."""
