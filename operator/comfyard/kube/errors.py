"""What the API server refuses, as one small tree."""


class ApiError(Exception):
    """The API server refused a request, or could not be reached.

    Attributes:
        code: The HTTP status; 0 when there was no answer.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class NotFoundError(ApiError):
    """404: the object is not there, or its namespace, or its kind."""


class ConflictError(ApiError):
    """409: it exists already, or it changed since it was read."""


class InvalidError(ApiError):
    """422: the object is against its schema."""


class TestFailedError(InvalidError):
    """422: a `test` of a JSON patch found another value: who writes has lost what it wrote for."""

    __test__ = False  # not a test, whatever its name makes pytest think


class ForbiddenError(ApiError):
    """401 or 403: the ServiceAccount may not, or a quota or an admission policy is against it."""


class ExpiredError(ApiError):
    """410: the watch fell behind what the API server remembers; list again."""


class UnavailableError(ApiError):
    """No answer, 429 or 5xx: worth another try.

    Attributes:
        retry_after: Seconds for which the API server wants to be left alone; 0 when it did not say.
    """

    def __init__(self, message: str, code: int = 0, retry_after: float = 0) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class NotLeadingError(ApiError):
    """Not sent: this replica of the operator does not hold the Lease, or cannot be sure that it still does."""
