from pathlib import Path

import pytest
import yaml

from comfyard.controller.settings import Settings
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB, MODEL_BUNDLE
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.rate_limit import RateLimiter
from comfyard.runtime.cache import Cache, Change
from comfyard.runtime.context import Context
from comfyard.runtime.jobs import reconcile_job
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
    paced = PacedClient(client, RateLimiter(per_second=100, burst=200), lambda: True)
    return Context(paced, Cache([MODEL_BUNDLE, GENERATION_JOB]), Settings(image="comfyard:1")), client


async def test_an_event_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ctx, client = context(tmp_path)
    await ctx.tell(MODEL_BUNDLE, {"metadata": meta("sd15")}, "Normal", "Verified", "all there")
    await client.close()
    assert "event Verified of ModelBundle sd15 is lost" in caplog.text


async def test_a_job_that_is_looked_at_while_it_gets_a_server_asks_for_no_other(tmp_path: Path) -> None:
    ctx, client = context(tmp_path)
    ctx.cache.put(GENERATION_JOB, {"metadata": meta("j"), "spec": job().spec.to_api()})
    ctx.starting["studio", "j"] = set()
    await reconcile_job(ctx, "studio", "j")
    assert not ctx.demands
    await client.close()


async def test_every_change_is_told_once_whoever_has_made_it(tmp_path: Path) -> None:
    ctx, client = context(tmp_path)
    told: list[Change] = []
    ctx.changed = told.append
    bundle = {"metadata": meta("sd15"), "spec": {}}
    ctx.take(MODEL_BUNDLE, bundle)  # the answer to our write
    ctx.hear(MODEL_BUNDLE, "ADDED", bundle)  # its event
    ctx.hear(MODEL_BUNDLE, "DELETED", bundle)
    ctx.hear(MODEL_BUNDLE, "DELETED", bundle)
    ctx.forget(MODEL_BUNDLE, ("studio", "sd15"))
    assert [(each.before, each.after) for each in told] == [(None, bundle), (bundle, None)]
    await client.close()
