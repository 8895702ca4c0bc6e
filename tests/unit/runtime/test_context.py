from pathlib import Path

import pytest
import yaml

from comfyard.api.generation_job import Receipt
from comfyard.controller.pools import Pool
from comfyard.controller.scheduler import Demand
from comfyard.controller.settings import Settings
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB, MODEL_BUNDLE
from comfyard.runtime.cache import Cache
from comfyard.runtime.context import Context, Runnable
from tests.builders import job, meta


def context(tmp_path: Path) -> tuple[Context, LightkubeClient]:
    """With a client of an API server that is not there."""
    nowhere = {
        "current-context": "nowhere",
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(nowhere))
    client = LightkubeClient.from_kubeconfig(tmp_path / "kubeconfig", "tests")
    return Context(client, Cache([MODEL_BUNDLE, GENERATION_JOB]), Settings(image="comfyard:1")), client


async def test_an_event_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ctx, client = context(tmp_path)
    await ctx.tell(MODEL_BUNDLE, {"metadata": meta("sd15")}, "Normal", "Verified", "all there")
    await client.close()
    assert "event Verified of ModelBundle sd15 is lost" in caplog.text


async def test_a_job_that_was_looked_at_while_it_got_a_server_asks_for_no_other(tmp_path: Path) -> None:
    ctx, client = context(tmp_path)
    waiting = job()
    key, obj = ("studio", waiting.metadata.name), {"metadata": waiting.metadata.to_api(), "spec": waiting.spec.to_api()}
    demand = Demand(key, Pool("studio", "l4", ("models",), "results", "x"), 0, "1")
    ctx.cache.put(GENERATION_JOB, obj)
    ctx.runnable[key] = Runnable(demand, obj, waiting, {}, Receipt(template="sha256:t"))
    assert set(ctx.waiting()) == {key}
    assignment = {"id": "1", "server": "s", "time": "2026-01-02T03:04:00Z"}
    ctx.cache.put(GENERATION_JOB, {**obj, "status": {"observedGeneration": 1, "assignment": assignment}})
    assert not ctx.waiting()
    await client.close()
