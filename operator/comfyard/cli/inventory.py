"""`comfyard store`: what lies on the claims with models, as the store sync has told last."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import typer
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from comfyard.api.meta import LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY
from comfyard.cli.session import CommandError, connect, execute
from comfyard.controller.resources.access import COMPONENT_SYNC
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, Obj
from comfyard.kube.protocol import KubeClient
from comfyard.store.inventory import Inventory, Tally
from comfyard.sync.inventory import read

_INVENTORIES = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_COMPONENT: COMPONENT_SYNC}


Output = Literal["table", "json"]


@dataclass(frozen=True)
class Told:
    """What was told of one claim.

    Attributes:
        claim: Its name.
        inventory: None before the first sync has ended.
    """

    claim: str
    inventory: Inventory | None


def show(claim: str, namespace: str, output: Output) -> int:
    """Print what lies on a claim; on all that hold models, if none is named.

    Args:
        claim: The claim.
        namespace: Its namespace; empty: that of kubectl's context.
        output: How to print it.

    Returns:
        The exit code.
    """
    return execute(_show(claim, namespace, output))


async def _show(claim: str, namespace: str, output: Output) -> int:
    async with connect() as client:
        found = await _find(client, claim, namespace or client.namespace)
    if output == "json":
        typer.echo(to_json(found))
        return 0
    console = Console()
    for part in describe(found, datetime.now(UTC)):
        console.print(part)
    return 0


async def _find(client: KubeClient, claim: str, namespace: str) -> list[Told]:
    objects = (await client.list(CONFIG_MAP, namespace, labels=_INVENTORIES)).items
    found = chosen(objects, claim)
    if claim and not found:
        try:
            await client.get(PERSISTENT_VOLUME_CLAIM, claim, namespace)
        except NotFoundError as error:
            raise CommandError(f"there is no PersistentVolumeClaim {claim} in namespace {namespace}") from error
    if not found:
        raise CommandError(f"no ModelBundle in namespace {namespace} uses {f'claim {claim}' if claim else 'a claim'}")
    if not any(told.inventory for told in found):
        names = ", ".join(told.claim for told in found)
        raise CommandError(f"nothing is known of {names} yet: the store sync tells when it is done")
    return found


def chosen(objects: Iterable[Obj], claim: str) -> list[Told]:
    """What ConfigMaps tell of a claim; of all, if none is named."""
    owned = ((_owner(obj), obj) for obj in objects)
    found = (Told(owner, read(obj.get("data"))) for owner, obj in owned if owner and claim in {"", owner})
    return sorted(found, key=lambda told: told.claim)


def _owner(obj: Obj) -> str:
    owners = obj["metadata"].get("ownerReferences") or []
    return next((str(owner["name"]) for owner in owners if owner["kind"] == PERSISTENT_VOLUME_CLAIM.kind), "")


def to_json(found: Sequence[Told]) -> str:
    """The same for programs."""
    return json.dumps([{"claim": t.claim, **t.inventory.to_api()} for t in found if t.inventory], indent=2)


def describe(found: Sequence[Told], now: datetime) -> Iterator[RenderableType]:
    """What to print, part by part."""
    for told in found:
        there = told.inventory
        if there is None:
            yield Text(f"Claim {told.claim}: nothing is known yet\n")
            continue
        yield Text(f"Claim {told.claim}, as of {ago(now - there.time)}\n", style="bold")
        yield _categories(there)
        if there.files:
            yield _files(there)
        if there.custom_nodes:
            yield _custom_nodes(there)
        yield Text("\n".join(_sums(there)) + "\n")


def _categories(there: Inventory) -> Table:
    table = _table("Folder", "Wanted", "Retained", "Unknown")
    for each in there.categories:
        table.add_row(each.name or ".", *map(_tally, (each.known, each.retained, each.unknown)))
    kinds = ([getattr(each, kind) for each in there.categories] for kind in ("known", "retained", "unknown"))
    sums = (Tally(files=sum(t.files for t in kind), bytes=sum(t.bytes for t in kind)) for kind in kinds)
    table.add_row("all", *map(_tally, sums), style="bold")
    return table


def _tally(tally: Tally) -> str:
    return f"{tally.files}, {decimal(tally.bytes)}" if tally.files else "-"


def _files(there: Inventory) -> Table:
    table = _table("Files that no bundle wants", "Size", "")
    for file in there.files:
        table.add_row(Text(file.path), decimal(file.bytes), file.kind)
    if there.files_left_out:
        table.add_row(f"and {there.files_left_out} smaller ones")
    return table


def _custom_nodes(there: Inventory) -> Table:
    table = _table("Custom nodes", "Size")
    for package in there.custom_nodes:
        table.add_row(Text(package.commit), decimal(package.bytes))
    return table


def _sums(there: Inventory) -> Iterator[str]:
    if there.unfinished_bytes:
        yield f"Unfinished downloads: {decimal(there.unfinished_bytes)}"
    if there.loose_bytes:
        yield f"Contents without a path: {decimal(there.loose_bytes)}"
    yield f"Free: {decimal(there.free_bytes)} of {decimal(there.total_bytes)}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def ago(age: timedelta) -> str:
    """An age in the largest unit that it has one of."""
    seconds = int(age.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return f"{max(0, seconds)}s ago"
