"""A host of presigned addresses, as CDNs and object stores are: it knows who may read by the address alone.

It refuses what the real ones refuse: an Authorization header beside the signature (400), a signature that is unknown or
has expired (403), and HEAD, since the signature is for GET (403).
"""

import hashlib
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from tests.doubles.serving import Record, send_file

_TWO = "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
_EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@dataclass
class Presigned:
    """The host.

    Attributes:
        base: Its address, once it is served.
        uses: How many requests a signature made from now on is good for; None: until `expire`.
        sent: Bytes of content that went out.
    """

    base: str = ""
    uses: int | None = None
    record: Record = field(default_factory=Record)
    files: dict[str, bytes] = field(default_factory=dict)
    _left: dict[str, int | None] = field(default_factory=dict)

    def sign(self, name: str, content: bytes) -> str:
        """An address at which the content may be read now."""
        self.files[name] = content
        signature = secrets.token_hex(16)
        self._left[signature] = self.uses
        return f"{self.base}/{name}?X-Amz-Expires=3600&X-Amz-Signature={signature}"

    def expire(self) -> None:
        """All addresses that were given until now are too old."""
        self._left.clear()

    def app(self) -> web.Application:
        app = self.record.middleware()
        app.router.add_get("/{name:.*}", self._get)
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.Response(status=400, text=_TWO, content_type="application/xml")
        signature = request.query.get("X-Amz-Signature", "")
        left = self._left.get(signature, 0)
        if request.method == "HEAD" or left == 0:
            return web.Response(status=403, text=_EXPIRED, content_type="application/xml")
        if left is not None:
            self._left[signature] = left - 1
        content = self.files[request.match_info["name"]]
        return await send_file(request, content, f'"{hashlib.md5(content).hexdigest()}-1"')  # noqa: S324 - as S3 does
