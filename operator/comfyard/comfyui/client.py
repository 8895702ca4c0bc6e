"""The HTTP side of one ComfyUI server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from comfyard.comfyui.answers import About, HistoryEntry, Queue, parse_about, parse_history, parse_queue
from comfyard.comfyui.errors import AnswerError, RefusedError, UnreachableError, UnserialisableError
from comfyard.comfyui.refusal import describe_node_errors, describe_refusal

_OK = 200
_BAD_REQUEST = 400
_TOO_LARGE = 413
_SERVER_ERROR = 500
_TIMEOUT = aiohttp.ClientTimeout(sock_connect=5, sock_read=30)
"""Seconds. HTTP stays responsive while ComfyUI samples, but reading a model can hold Python's lock for a while."""


@dataclass(frozen=True)
class _Answer:
    """What came back, and on which request."""

    request: str
    status: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace").strip()


class ComfyClient:
    """A connection to one server. Every method raises ComfyError and its subclasses, nothing else.

    Attributes:
        client_id: Where ComfyUI sends the events of what is submitted here. Always a string: an object for a
            client_id makes ComfyUI's process exit.
    """

    def __init__(self, url: str, client_id: str) -> None:
        self.client_id = client_id
        # aiohttp, as a request of httpx2 costs five times as much, and a job has several. It takes no proxy from the
        # environment unless it is told to: the server is in this pod.
        self._http = aiohttp.ClientSession(url, timeout=_TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def submit(self, prompt_id: str, graph: Mapping[str, Any]) -> None:
        """Queue a graph, last. A second time with the same id it would run a second time: look for the id before.

        Raises:
            RefusedError: The graph is not valid; it may have been queued all the same.
            UnreachableError: It may have been queued, or not.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self.client_id, "extra_data": {}}
        answer = await self._request("POST", "/prompt", body)
        if answer.status == _BAD_REQUEST:
            raise RefusedError(describe_refusal(_json(answer)))
        if answer.status == _TOO_LARGE or answer.status >= _SERVER_ERROR:  # it cannot even read it
            raise RefusedError([f"{answer.status} {answer.text}"])
        problems = list(describe_node_errors(_json(_expect(answer)).get("node_errors")))
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
        answer = await self._request("GET", f"/history/{prompt_id}")
        if answer.status >= _SERVER_ERROR:
            raise UnserialisableError(f"a node of prompt {prompt_id} returned outputs that are not JSON")
        try:
            return parse_history(_json(_expect(answer)), prompt_id)
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

    async def log(self) -> str:
        """The last 300 things that were written to its log. Made for ComfyUI's front end: it may go away one day."""
        answer = _json(_expect(await self._request("GET", "/internal/logs/raw")))
        try:
            return "".join(str(entry["m"]) for entry in answer["entries"])
        except (KeyError, TypeError) as error:
            raise AnswerError(f"GET /internal/logs/raw: {error!r}") from error

    async def _request(self, method: str, path: str, body: object = None) -> _Answer:
        try:
            # Python's integers are exact; NaN is not JSON, though ComfyUI would take it and then answer with it.
            content = None if body is None else json.dumps(body, allow_nan=False).encode()
        except ValueError as error:
            raise RefusedError([f"the graph cannot be written as JSON: {error}"]) from error
        request = f"{method} {path}"
        try:
            async with self._http.request(method, path, data=content, allow_redirects=False) as response:
                return _Answer(request, response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            gone = isinstance(error, aiohttp.ClientConnectorError)
            raise UnreachableError(f"{request}: {type(error).__name__} {error}".strip(), gone=gone) from error


def _expect(answer: _Answer) -> _Answer:
    if answer.status != _OK:
        raise AnswerError(f"{answer.request}: {answer.status} {answer.text[:200]}")
    return answer


def _json(answer: _Answer) -> Any:  # noqa: ANN401 - JSON from outside
    try:
        return json.loads(answer.content)
    except ValueError as error:
        raise AnswerError(f"{answer.request}: not JSON: {answer.text[:200]}") from error
