"""The HTTP side of one ComfyUI server."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from comfyard.comfyui.answers import About, HistoryEntry, Queue, parse_about, parse_history, parse_queue
from comfyard.comfyui.errors import AnswerError, RefusedError, UnreachableError, UnserialisableError
from comfyard.comfyui.refusal import describe_node_errors, describe_refusal

_OK = 200
_BAD_REQUEST = 400
_TOO_LARGE = 413
_SERVER_ERROR = 500
_TIMEOUT = httpx2.Timeout(30, connect=5)
"""Seconds. HTTP stays responsive while ComfyUI samples, but reading a model can hold Python's lock for a while."""


class ComfyClient:
    """A connection to one server. Every method raises ComfyError and its subclasses, nothing else.

    Attributes:
        client_id: Where ComfyUI sends the events of what is submitted here. Always a string: an object for a
            client_id makes ComfyUI's process exit.
    """

    def __init__(self, url: str, client_id: str) -> None:
        self.client_id = client_id
        # No proxy from the environment: the server is in this pod.
        self._http = httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(self, prompt_id: str, graph: Mapping[str, Any]) -> None:
        """Queue a graph, last. A second time with the same id it would run a second time: look for the id before.

        Raises:
            RefusedError: The graph is not valid; it may have been queued all the same.
            UnreachableError: It may have been queued, or not.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self.client_id, "extra_data": {}}
        response = await self._request("POST", "/prompt", body)
        if response.status_code == _BAD_REQUEST:
            raise RefusedError(describe_refusal(_json(response)))
        if response.status_code == _TOO_LARGE or response.status_code >= _SERVER_ERROR:  # it cannot even read it
            raise RefusedError([f"{response.status_code} {response.text.strip()}"])
        problems = list(describe_node_errors(_json(_expect(response)).get("node_errors")))
        if problems:
            raise RefusedError(problems)

    async def queue(self) -> Queue:
        """What runs and what waits."""
        answer = _json(_expect(await self._request("GET", "/queue")))
        try:
            return parse_queue(answer)
        except (KeyError, IndexError, TypeError) as error:
            raise AnswerError(f"GET /queue: {error!r}") from error

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """How a prompt ended; None: it has not, or the server does not know it any more.

        Raises:
            UnserialisableError: It has ended, with outputs that ComfyUI cannot write down.
        """
        response = await self._request("GET", f"/history/{prompt_id}")
        if response.status_code >= _SERVER_ERROR:
            raise UnserialisableError(f"a node of prompt {prompt_id} returned outputs that are not JSON")
        try:
            return parse_history(_json(_expect(response)), prompt_id)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise AnswerError(f"GET /history/{prompt_id}: {error!r}") from error

    async def forget(self, prompt_id: str) -> None:
        """Delete a history entry: one that cannot be written as JSON breaks GET /history for everybody."""
        _expect(await self._request("POST", "/history", {"delete": [prompt_id]}))

    async def interrupt(self, prompt_id: str) -> None:
        """Ask the running prompt to stop, if it is this one.

        The answer is always the same, and ComfyUI forgets an interrupt that comes just before the prompt starts: repeat
        until the id has left the queue.
        """
        _expect(await self._request("POST", "/interrupt", {"prompt_id": prompt_id}))

    async def delete_pending(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts out of the queue, unless they run already; the answer does not tell."""
        _expect(await self._request("POST", "/queue", {"delete": list(prompt_ids)}))

    async def free(self) -> None:
        """Unload all models and drop the node cache, once the running prompt has ended."""
        _expect(await self._request("POST", "/free", {"unload_models": True, "free_memory": True}))

    async def queue_remaining(self) -> int:
        """Prompts that run or wait; the cheapest sign of life."""
        answer = _json(_expect(await self._request("GET", "/prompt")))
        try:
            return int(answer["exec_info"]["queue_remaining"])
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"GET /prompt: {error!r}") from error

    async def object_info(self, class_type: str) -> Mapping[str, Any] | None:
        """What a node class takes and gives; None: the server does not have it."""
        answer = _json(_expect(await self._request("GET", f"/object_info/{class_type}")))
        found = answer.get(class_type) if isinstance(answer, dict) else None
        return found if isinstance(found, dict) else None

    async def all_object_info(self) -> Mapping[str, Any]:
        """What all node classes take and give, by name; 506 kB for ComfyUI's own, and a look at every model folder."""
        answer = _json(_expect(await self._request("GET", "/object_info")))
        return answer if isinstance(answer, dict) else {}

    async def about(self) -> About:
        """Its version and its first device."""
        return parse_about(_json(_expect(await self._request("GET", "/system_stats"))))

    async def _request(self, method: str, path: str, body: object = None) -> httpx2.Response:
        try:
            # Python's integers are exact; NaN is not JSON, though ComfyUI would take it and then answer with it.
            content = None if body is None else json.dumps(body, allow_nan=False).encode()
        except ValueError as error:
            raise RefusedError([f"the graph cannot be written as JSON: {error}"]) from error
        try:
            return await self._http.request(method, path, content=content)
        except httpx2.HTTPError as error:
            gone = isinstance(error, httpx2.ConnectError)
            raise UnreachableError(f"{method} {path}: {type(error).__name__} {error}".strip(), gone=gone) from error


def _expect(response: httpx2.Response) -> httpx2.Response:
    if response.status_code != _OK:
        request = response.request
        raise AnswerError(f"{request.method} {request.url.path}: {response.status_code} {response.text[:200].strip()}")
    return response


def _json(response: httpx2.Response) -> Any:  # noqa: ANN401 - JSON from outside
    try:
        return response.json()
    except ValueError as error:
        request = response.request
        raise AnswerError(f"{request.method} {request.url.path}: not JSON: {response.text[:200]}") from error
