from __future__ import annotations

import pytest
from PIL import Image

from comfysim.cache import NodeResult, ResultCache
from tests.unit.comfysim.harness import Client, Sim, node, sd15


async def test_an_identical_graph_runs_nothing_and_names_the_old_file(client: Client) -> None:
    first = await client.run(sd15(seed=11))
    second = await client.run(sd15(seed=11))
    assert second.of("execution_cached")[0]["nodes"] == list(sd15())
    assert second.files() == first.files()
    assert [data["node"] for data in second.of("executing")] == [None]


async def test_a_cached_output_node_is_told_again_as_executed(client: Client) -> None:
    await client.run(sd15(seed=12))
    second = await client.run(sd15(seed=12))
    assert [data["node"] for data in second.of("executed")] == ["9"]


async def test_another_prefix_alone_runs_only_the_saving_node(client: Client) -> None:
    await client.run(sd15(seed=13))
    second = await client.run(sd15(seed=13, filename_prefix="other"))
    assert [data["node"] for data in second.of("executing")] == ["9", None]


async def test_another_seed_keeps_the_loaded_model(client: Client) -> None:
    await client.run(sd15(seed=14))
    second = await client.run(sd15(seed=15))
    assert set(second.of("execution_cached")[0]["nodes"]) == {"4", "5", "6", "7"}


async def test_the_classic_cache_keeps_only_the_last_graph(client: Client) -> None:
    await client.run(sd15(text="first", seed=16))
    await client.run(sd15(text="second", seed=16))
    third = await client.run(sd15(text="first", seed=16))
    assert "6" not in third.of("execution_cached")[0]["nodes"]


async def test_freeing_memory_drops_the_cache(client: Client) -> None:
    first = await client.run(sd15(seed=17))
    await client.free(free_memory=True)
    second = await client.run(sd15(seed=17, filename_prefix="test/out"))
    assert second.files() != first.files()


async def test_unloading_models_keeps_the_cache(client: Client) -> None:
    first = await client.run(sd15(seed=18))
    await client.free(unload_models=True)
    assert (await client.run(sd15(seed=18))).files() == first.files()


async def test_an_overwritten_input_picture_runs_anew(sim: Sim, client: Client) -> None:
    graph = {"1": node("LoadImage", image="in.png"), "9": node("SaveImage", images=["1", 0], filename_prefix="copy")}
    Image.new("RGB", (8, 8), "red").save(sim.base / "input" / "in.png")
    first = await client.run(graph)
    Image.new("RGB", (8, 8), "blue").save(sim.base / "input" / "in.png")
    second = await client.run(graph)
    assert second.files() != first.files()


async def test_without_a_cache_every_run_executes(uncached: Sim) -> None:
    async with Client(uncached) as client:
        first = await client.run(sd15(seed=19))
        second = await client.run(sd15(seed=19))
    assert second.of("execution_cached")[0]["nodes"] == []
    assert second.files() != first.files()


@pytest.mark.parametrize("mode", ["classic", "lru", "none"])
def test_a_node_without_inputs_is_not_survived(mode: str) -> None:
    with pytest.raises(KeyError):
        ResultCache(mode).set_prompt({"1": {"class_type": "KSampler"}}, lambda *_: False)


def test_an_lru_cache_keeps_results_of_earlier_graphs() -> None:
    cache = ResultCache("lru", 2)
    graphs = [{str(n): node("X", value=n)} for n in range(4)]
    for n, graph in enumerate(graphs):
        cache.set_prompt(graph, lambda *_: False)
        cache.put(str(n), NodeResult((), None, {}))
    kept = []
    for n, graph in enumerate(graphs):
        cache.set_prompt(graph, lambda *_: False)
        kept.append(cache.get(str(n)) is not None)
    assert kept == [False, False, True, True]
