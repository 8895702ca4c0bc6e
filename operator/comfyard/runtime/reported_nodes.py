"""What servers have told of their node classes, as the operator holds it: each content once, read when it is needed."""

import asyncio
import base64
import hashlib
import logging
from weakref import WeakValueDictionary

from comfyard.kube.kinds import Obj, name_of, namespace_of
from comfyard.workflow.object_info import Knowledge
from comfyard.workflow.reported_nodes import KEY, unpack

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Content:
    """One answer to /object_info: packed until somebody asks, 2 MB as knowledge from then on.

    What cannot be read is as good as not told.
    """

    def __init__(self, packed: bytes, name: str) -> None:
        self._packed: bytes | None = packed
        self._name = name
        self._knowledge: Knowledge | None = None
        self._reading = asyncio.Lock()

    async def knowledge(self) -> Knowledge | None:
        """What it says. ComfyUI's own 500 classes are read in 0.1 s, beside the event loop."""
        async with self._reading:
            if self._packed is not None:
                try:
                    self._knowledge = await asyncio.to_thread(unpack, self._packed)
                except ValueError as error:
                    log.warning("ConfigMap %s is left alone: %s", self._name, error)
                self._packed = None
        return self._knowledge


class ReportedNodes:
    """The reports of all namespaces. Those of one image are mostly equal: they share what is read."""

    def __init__(self) -> None:
        self._reports: dict[str, dict[str, Content]] = {}
        self._by_digest: WeakValueDictionary[str, Content] = WeakValueDictionary()

    def take(self, report: Obj) -> Obj:
        """Take in a report; returns its ConfigMap without the content."""
        key = (namespace_of(report), name_of(report))
        text = (report.get("binaryData") or {}).get(KEY)
        if text:
            digest = hashlib.sha256(text.encode()).hexdigest()
            content = self._by_digest.get(digest) or Content(base64.b64decode(text), "/".join(key))
            self._by_digest[digest] = content
            self._reports.setdefault(key[0], {})[key[1]] = content
        else:
            self.forget(key)
        return {name: value for name, value in report.items() if name != "binaryData"}

    def forget(self, key: Key) -> None:
        """The report is gone, or empty."""
        self._reports.get(key[0], {}).pop(key[1], None)

    async def of(self, namespace: str) -> dict[str, Knowledge]:
        """What has been told in a namespace, by the report's name."""
        read = {name: await content.knowledge() for name, content in list(self._reports.get(namespace, {}).items())}
        return {name: knowledge for name, knowledge in read.items() if knowledge is not None}
