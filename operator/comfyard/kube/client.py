"""The KubeClient on lightkube."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, cast

import httpx2
import lightkube
from httpx2.websockets import HTTPXWSException, WebSocketUpgradeError
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError as LightkubeApiError
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import CascadeType, PatchType

from comfyard.kube import errors
from comfyard.kube.kinds import Kind, Obj
from comfyard.kube.protocol import JsonPatch, ObjectList, WatchEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightkube.core.resource import Resource

_PAGE = 200
"""Objects of one page of a LIST: bounds what the API server and we hold at once, and for how long nothing else is done
while they are read (10 ms)."""

_BY_CODE: dict[int, type[errors.ApiError]] = {
    401: errors.ForbiddenError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    410: errors.ExpiredError,
    422: errors.InvalidError,
    429: errors.UnavailableError,
}
_SERVER_ERROR = 500
_AT_ONCE = 16
"""Requests under way, watches and lists aside. httpx keeps twenty connections; each one more is a TLS handshake that
costs as much as two requests."""

_TIMEOUT_SECONDS = 30
_LONGEST_PAUSE_SECONDS = 30.0


@cache
def _resource(kind: Kind) -> Any:  # noqa: ANN401 - lightkube makes the class
    make: Callable[..., Any] = create_namespaced_resource if kind.namespaced else create_global_resource
    return make(kind.group, kind.version, kind.kind, kind.plural)


@contextmanager
def _own_errors() -> "Iterator[None]":
    try:
        yield
    except LightkubeApiError as error:
        code = error.status.code or 0
        message = error.status.message or str(error)
        kind = _BY_CODE.get(code, errors.UnavailableError if code >= _SERVER_ERROR else errors.ApiError)
        # A failed `test` has no reason of its own; other than a schema's refusal, it does not say what it is about.
        if kind is errors.InvalidError and not (error.status.details and error.status.details.causes):
            kind = errors.TestFailedError
        if kind is errors.UnavailableError:
            raise errors.UnavailableError(message, code, _retry_after(error.response)) from error
        raise kind(message, code) from error
    except httpx2.HTTPStatusError as error:  # not JSON: priority and fairness, or a proxy
        answer = error.response
        raise errors.UnavailableError(str(error), answer.status_code, _retry_after(answer)) from error
    except (httpx2.HTTPError, OSError) as error:
        raise errors.UnavailableError(f"{type(error).__name__}: {error}") from error


def _retry_after(answer: httpx2.Response | None) -> float:
    """Seconds; the API server says them as a whole number. A proxy that asks for an hour is not waited for so long."""
    told = answer.headers.get("Retry-After", "") if answer is not None else ""
    return min(float(told), _LONGEST_PAUSE_SECONDS) if told.isdecimal() else 0


class LightkubeClient:
    """A connection to one API server, for one field manager."""

    def __init__(self, client: lightkube.AsyncClient, field_manager: str) -> None:
        self._client: Any = client  # its overloads know typed models only; every kind is generic here
        self._manager = field_manager
        self._turn = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def from_environment(cls, field_manager: str) -> Self:
        """In a pod by its ServiceAccount, elsewhere by $KUBECONFIG, as kubectl does.

        Raises:
            ApiError: There is neither.
        """
        try:
            return cls._from_config(KubeConfig.from_env(), field_manager)
        except ConfigError as error:
            raise errors.ApiError(f"no cluster is configured: {error}") from error

    @classmethod
    def from_kubeconfig(cls, path: Path, field_manager: str) -> Self:
        """By a kubeconfig file and its current context."""
        return cls._from_config(KubeConfig.from_file(path), field_manager)

    @classmethod
    def _from_config(cls, config: KubeConfig, field_manager: str) -> Self:
        timeout = httpx2.Timeout(_TIMEOUT_SECONDS)
        return cls(lightkube.AsyncClient(config=config.get(), timeout=timeout), field_manager)

    @property
    def namespace(self) -> str:
        """The pod's own, or that of the current context."""
        return str(self._client.namespace)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """See KubeClient."""
        return await self._call(lambda: self._client.get(_resource(kind), name, **_in(kind, namespace)))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> ObjectList:
        """See KubeClient."""
        items: list[Obj] = []
        version = ""
        async for page in self.pages(kind, namespace, labels=labels, fields=fields):
            items += page.items
            version = page.resource_version
        return ObjectList(items, version)

    async def pages(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncIterator[ObjectList]:
        """See KubeClient."""
        where = {"namespace": namespace or "*"} if kind.namespaced else {}
        page: list[Obj] = []
        with _own_errors():
            found = self._client.list(_resource(kind), chunk_size=_PAGE, labels=labels, fields=fields, **where)
            async for item in found:
                page.append(dict(item))
                if len(page) == _PAGE:
                    yield ObjectList(page, found.resourceVersion)
                    page = []
            yield ObjectList(page, found.resourceVersion)

    async def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str, fields: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent]:
        """See KubeClient."""
        where = {"namespace": namespace or "*"} if kind.namespaced else {}
        with _own_errors():
            events = self._client.watch(
                _resource(kind), resource_version=resource_version, fields=fields, server_timeout=300, **where
            )
            async for event_type, obj in events:
                yield WatchEvent(cast("Literal['ADDED', 'MODIFIED', 'DELETED']", event_type), dict(obj))

    async def apply(self, kind: Kind, obj: Obj) -> Obj:
        """See KubeClient."""
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        namespace = obj["metadata"].get("namespace", "")
        return await self._patch(_resource(kind), kind, obj["metadata"]["name"], namespace, whole, PatchType.APPLY)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """See KubeClient."""
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        return await self._call(
            lambda: self._client.create(_resource(kind).from_dict(whole), field_manager=self._manager)
        )

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        """See KubeClient."""
        known = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        requests = self._client._client  # noqa: SLF001 - lightkube's own delete sends no preconditions
        params = {"propagationPolicy": CascadeType.BACKGROUND.value}
        with _own_errors():
            request = requests.prepare_request(
                "delete", _resource(kind), name=name, params=params, **_in(kind, namespace)
            )
            request.data = {"preconditions": known} if known else None
            answer = await requests.send(requests.build_adapter_request(request))
            requests.handle_response("delete", answer, request)

    async def patch(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any], version: str) -> Obj:
        """See KubeClient."""
        body = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": version}}
        return await self._patch(_resource(kind), kind, name, namespace, body, PatchType.MERGE)

    async def patch_status(
        self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any], version: str = ""
    ) -> Obj:
        """See KubeClient."""
        body: Obj = {"status": dict(status)}
        if version:
            body["metadata"] = {"resourceVersion": version}
        return await self._patch(_resource(kind).Status, kind, name, namespace, body, PatchType.MERGE)

    async def json_patch_status(self, kind: Kind, name: str, namespace: str, patch: JsonPatch) -> Obj:
        """See KubeClient."""
        return await self._patch(_resource(kind).Status, kind, name, namespace, list(patch), PatchType.JSON)

    async def run_in_pod(self, pod: str, namespace: str, command: Sequence[str], stdout: BinaryIO) -> None:
        """Run a command in the only container of a pod, as `kubectl exec` does.

        Args:
            pod: Its name.
            namespace: Its namespace.
            command: Program and arguments.
            stdout: Takes what it prints.

        Raises:
            ApiError: It could not be run or has failed; the message is what it said on stderr.
        """
        try:
            with _own_errors():
                done = await self._client.exec(pod, namespace=namespace, command=command, stdout=stdout, stderr=True)
        except WebSocketUpgradeError as error:
            code = error.response.status_code
            kind = _BY_CODE.get(code, errors.UnavailableError if code >= _SERVER_ERROR else errors.ApiError)
            raise kind(f"cannot run a command in pod {pod}: HTTP {code}", code) from error
        except HTTPXWSException as error:
            raise errors.UnavailableError(f"{type(error).__name__} while a command ran in pod {pod}") from error
        if done.exit_code:
            raise errors.ApiError(f"{command[0]} in pod {pod} failed: {done.stderr.strip()}")

    async def _patch(
        self, resource: "type[Resource]", kind: Kind, name: str, namespace: str, body: object, how: PatchType
    ) -> Obj:
        force = {"force": True} if how is PatchType.APPLY else {}
        return await self._call(
            lambda: self._client.patch(
                resource,
                name,
                body,
                patch_type=how,
                field_manager=self._manager,
                **_in(kind, namespace),
                **force,
            )
        )

    async def _call(self, request: Callable[[], Awaitable[Any]]) -> Obj:
        async with self._turn:
            with _own_errors():
                return dict(await request())


def _in(kind: Kind, namespace: str) -> dict[str, str]:
    return {"namespace": namespace} if kind.namespaced else {}
