"""What the rest of Comfyard wants of an API server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from comfyard.kube.kinds import Kind, Obj

JsonPatch = Sequence[Mapping[str, Any]]
"""RFC 6902 operations."""


class WatchEvent(NamedTuple):
    """One line of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Obj


class ObjectList(NamedTuple):
    """The answer to a list."""

    items: list[Obj]
    resource_version: str


class KubeClient(Protocol):
    """Calls of the API server. All raise `comfyard.kube.errors.ApiError` and its subclasses."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """One object. Raises NotFoundError."""

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> ObjectList:
        """All objects of a namespace, or of all when it is empty."""

    def pages(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncIterator[ObjectList]:
        """The same, some at a time: for more than should be held at once. There is at least one page."""

    def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        resource_version: str,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes since a version; ends when the server closes it. Raises ExpiredError when the version is too old."""

    async def apply(self, kind: Kind, obj: Obj) -> Obj:
        """Server-side apply: create, or change the fields that are named; others keep theirs."""

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Create. Raises ConflictError when it exists."""

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        """Delete, dependents in the background. Raises NotFoundError.

        With a uid or a resourceVersion it raises ConflictError when it is another object, or has changed since.
        """

    async def patch(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any], version: str) -> Obj:
        """Merge into the object outside of its status (RFC 7386: null removes, lists are replaced).

        Raises ConflictError when it has changed since that resourceVersion.
        """

    async def patch_status(
        self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any], version: str = ""
    ) -> Obj:
        """Merge into status (RFC 7386: null removes, lists are replaced).

        With a resourceVersion it raises ConflictError when the object has changed since.
        """

    async def json_patch_status(self, kind: Kind, name: str, namespace: str, patch: JsonPatch) -> Obj:
        """Change status by operations, all or none. Raises TestFailedError when a `test` does not hold."""
