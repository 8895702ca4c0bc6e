from pathlib import Path

import pytest
import yaml

from comfyard.controller.settings import Settings
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import MODEL_BUNDLE
from comfyard.runtime.cache import Cache
from comfyard.runtime.context import Context
from tests.builders import meta


async def test_an_event_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = {
        "current-context": "nowhere",
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(nowhere))
    client = LightkubeClient.from_kubeconfig(tmp_path / "kubeconfig", "tests")
    ctx = Context(client, Cache([]), Settings(image="comfyard:1"))
    await ctx.tell(MODEL_BUNDLE, {"metadata": meta("sd15")}, "Normal", "Verified", "all there")
    await client.close()
    assert "event Verified of ModelBundle sd15 is lost" in caplog.text
