"""Secrets that bundles name: whom they are shown to, and what is said when they are of no use."""

from collections.abc import Iterator
from typing import Any

import pytest

from comfyard.kube.client import LightkubeClient
from tests.api.sync.harness import Bundles, Running, give_access, model
from tests.doubles import hugging_face
from tests.doubles.hugging_face import HuggingFace, Repo
from tests.unit.store.source_server import Source, safetensors

pytestmark = pytest.mark.api

TOKEN = "hf_3nevershowthis"  # noqa: S105 - made up
NAMED: list[dict[str, Any]] = [{"secretRef": {"name": "huggingface", "key": "token"}}]


@pytest.fixture
def hub() -> Iterator[HuggingFace]:
    with hugging_face.running() as server:
        server.tokens.add(TOKEN)
        server.repos["org/gated"] = Repo({"x.safetensors": safetensors(1000)}, gated=True, members={TOKEN})
        yield server


def gated(hub: HuggingFace, path: str = "checkpoints/x.safetensors") -> dict[str, Any]:
    return {
        "path": path,
        "source": {"huggingFace": {"repo": "org/gated", "file": "x.safetensors", "endpoint": hub.base}},
    }


async def test_what_the_owner_of_a_secret_allows_is_shown(hub: HuggingFace, bundles: Bundles, program: Running) -> None:
    await bundles.keep_secret("huggingface", hub.base, token=TOKEN)
    await bundles.put("b", [gated(hub)], credentials=NAMED)
    assert await program.start() == 0
    assert await bundles.states("b") == [("Ready", "")]
    assert hub.record.holds(TOKEN)
    assert not hub.cdn.record.holds(TOKEN)


@pytest.mark.parametrize(
    ("hosts", "key", "why"),
    [
        (None, "token", 'Secret "huggingface" (spec.credentials) may go to no host: its owner must annotate it'),
        ("{hub}", "other", 'Secret "huggingface" (spec.credentials) has no key token'),
    ],
)
async def test_a_secret_of_no_use_is_named_with_the_files_that_want_one_and_stops_no_other(
    hub: HuggingFace, source: Source, bundles: Bundles, program: Running, hosts: str | None, key: str, why: str
) -> None:
    other = safetensors(1000)
    await bundles.keep_secret("huggingface", hosts and hosts.format(hub=hub.base), **{key: TOKEN})
    models = [gated(hub), model(source.serve("x", other), other, "loras/y.safetensors")]
    await bundles.put("b", models, credentials=NAMED)
    assert await program.start() == 0
    wanting, fine = (await bundles.status("b"))["models"]
    assert (wanting["state"], fine["state"]) == ("Failed", "Ready")
    assert why in wanting["message"]
    assert not hub.record.holds(TOKEN)
    [(kind, reason, message)] = await bundles.events("b")
    assert (kind, reason) == ("Warning", "FetchFailed")
    assert why in message


async def test_a_secret_that_comes_a_moment_later_is_waited_for(
    hub: HuggingFace, bundles: Bundles, program: Running
) -> None:
    await bundles.put("b", [gated(hub)], credentials=NAMED)
    task = program.start()
    await bundles.until_told("b", 'Secret "huggingface" (spec.credentials) does not exist')
    await bundles.keep_secret("huggingface", hub.base, token=TOKEN)
    assert await task == 0
    assert await bundles.states("b") == [("Ready", "")]
    assert await bundles.events("b") == []


async def test_a_secret_that_may_be_read_a_moment_later_is_waited_for(
    hub: HuggingFace, bundles: Bundles, program: Running, kube: LightkubeClient
) -> None:
    await give_access(kube, bundles.namespace)
    await bundles.keep_secret("huggingface", hub.base, token=TOKEN)
    await bundles.put("b", [gated(hub)], credentials=NAMED)
    task = program.start()
    await bundles.until_told("b", 'Secret "huggingface" (spec.credentials) may not be read')
    await give_access(kube, bundles.namespace, ["huggingface"])
    assert await task == 0
    assert await bundles.states("b") == [("Ready", "")]


async def test_a_refusal_is_a_reason_to_read_secrets_again(
    hub: HuggingFace, bundles: Bundles, program: Running
) -> None:
    await bundles.keep_secret("huggingface", hub.base, token="too-old")  # noqa: S106 - made up
    await bundles.put("b", [gated(hub)], credentials=NAMED)
    task = program.start(linger_seconds=600)
    await bundles.until_row("b", state="Failed")
    await bundles.keep_secret("huggingface", hub.base, token=TOKEN)
    await bundles.put("later", [gated(hub, "loras/y.safetensors")], credentials=NAMED)
    await bundles.until_row("later", state="Ready")
    await bundles.until_row("b", state="Ready")
    assert not task.done()
