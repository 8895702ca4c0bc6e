"""Follows the jobs: ten thousand of them are too many for kopf, which keeps 13 kB of each that it has ever seen."""

import asyncio
import logging
from collections.abc import Mapping

from comfyard.kube.errors import ApiError
from comfyard.kube.kinds import Kind
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import Context

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_AT_ONCE = 25
"""Objects that are taken in before others have their turn: some milliseconds."""


async def take_list(ctx: Context, kind: Kind, labels: Mapping[str, str] | None = None) -> str:
    """Take in all objects of a kind; what has changed is looked at. Returns the version to watch from."""
    there: set[Key] = set()
    version = ""
    async for page in ctx.client.pages(kind, labels=labels):
        version = page.resource_version
        for number, obj in enumerate(page.items):
            there.add(key_of(obj))
            ctx.take(kind, obj)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
    for key in ctx.cache.others(kind, there, version):
        ctx.forget(kind, key)
    return version


async def follow(ctx: Context, kind: Kind, version: str) -> None:
    """Take in what changes, from a version on, until cancelled; what a lost watch has missed, a LIST tells."""
    is_lost = False
    while True:
        try:
            if is_lost:
                version = await take_list(ctx, kind)
            is_lost = True
            async for event in ctx.client.watch(kind, resource_version=version):
                ctx.hear(kind, event.type, event.object)
        except ApiError as error:
            log.warning("cannot follow %s: %s", kind.plural, error)
        except Exception:  # whatever it was, the others are followed
            log.exception("cannot take in a change of %s", kind.plural)
        await asyncio.sleep(_RETRY_SECONDS)
