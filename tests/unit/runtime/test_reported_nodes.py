import base64
from typing import Any

import pytest

from comfyard.kube.kinds import CONFIG_MAP, Obj
from comfyard.runtime.cache import Cache
from comfyard.runtime.graphs import Look
from comfyard.workflow.reported_nodes import KEY, pack


def info(*names: str) -> dict[str, Any]:
    return {name: {"input": {"required": {"a": ["INT", {}]}}, "output": [], "output_node": True} for name in names}


def report(name: str = "r", content: bytes | None = None, version: int = 1, namespace: str = "studio") -> Obj:
    meta = {"name": name, "namespace": namespace, "resourceVersion": str(version)}
    data = {"binaryData": {KEY: base64.b64encode(content).decode()}} if content is not None else {}
    return {"metadata": meta, "data": {"image": "comfyui:1"}, **data}


@pytest.fixture
def cache() -> Cache:
    return Cache([CONFIG_MAP])


async def test_what_is_told_is_known_in_its_namespace_only(cache: Cache) -> None:
    cache.put(CONFIG_MAP, report(content=pack(info("A"))))
    known = await cache.nodes.of("studio")
    assert list(known["r"].classes) == ["A"]
    assert await cache.nodes.of("other") == {}


async def test_the_content_is_held_once_and_not_in_the_object(cache: Cache) -> None:
    cache.put(CONFIG_MAP, report(content=pack(info("A"))))
    cache.put(CONFIG_MAP, report(content=pack(info("A")), namespace="other"))
    assert cache.get(CONFIG_MAP, "studio", "r") == report()
    assert (await cache.nodes.of("studio"))["r"] is (await cache.nodes.of("other"))["r"]


async def test_a_change_elsewhere_in_the_object_does_not_make_it_read_again(cache: Cache) -> None:
    cache.put(CONFIG_MAP, report(content=pack(info("A"))))
    before = (await cache.nodes.of("studio"))["r"]
    cache.put(CONFIG_MAP, report(content=pack(info("A")), version=2))
    assert (await cache.nodes.of("studio"))["r"] is before


async def test_another_content_replaces_it_and_an_older_one_does_not(cache: Cache) -> None:
    cache.put(CONFIG_MAP, report(content=pack(info("A")), version=2))
    cache.put(CONFIG_MAP, report(content=pack(info("B")), version=1))
    assert list((await cache.nodes.of("studio"))["r"].classes) == ["A"]
    cache.put(CONFIG_MAP, report(content=pack(info("B")), version=3))
    assert list((await cache.nodes.of("studio"))["r"].classes) == ["B"]


@pytest.mark.parametrize("how", ["deleted", "emptied"])
async def test_what_is_gone_is_not_known_any_more(cache: Cache, how: str) -> None:
    cache.put(CONFIG_MAP, report(content=pack(info("A"))))
    if how == "deleted":
        cache.remove(CONFIG_MAP, ("studio", "r"))
    else:
        cache.put(CONFIG_MAP, report(version=2))
    assert await cache.nodes.of("studio") == {}


async def test_what_cannot_be_read_is_as_good_as_not_told(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put(CONFIG_MAP, report("broken", b"no gzip"))
    cache.put(CONFIG_MAP, report("fine", pack(info("A"))))
    assert list(await cache.nodes.of("studio")) == ["fine"]
    assert list(await cache.nodes.of("studio")) == ["fine"]
    assert caplog.text.count("ConfigMap studio/broken is left alone") == 1


@pytest.mark.parametrize(
    ("content", "moment", "holds"),
    [(("uid", 1), 9.9, True), (("uid", 1), 10.0, False), (("uid", 2), 0.0, False), (("other", 1), 0.0, False)],
)
def test_a_graph_is_looked_up_again_after_a_while_and_for_another_spec(
    content: tuple[str, int],
    moment: float,
    holds: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    assert Look(("uid", 1), {}, until=10.0).holds(content, moment) is holds
