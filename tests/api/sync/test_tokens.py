"""All that a run with tokens leaves behind is searched for them; the Secrets alone have them."""

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
import pytest

from comfyard.kube.kinds import CONFIG_MAP, EVENT, JOB, MODEL_BUNDLE, POD
from tests.api.sync.harness import CLAIM, INVENTORY, Bundles, give_access
from tests.doubles import civitai, git, hugging_face, oci, seaweed
from tests.unit.agent.harness import SECONDS, eventually
from tests.unit.store.source_server import safetensors

pytestmark = pytest.mark.api

HUB, SITE, STRANGER, USER, GIT = (f"never-{name}-shown" for name in ("hub", "site", "stranger", "user", "git"))
SECRETS = ("hub", "site", "stranger", "bucket", "registry", "git")


@dataclass
class Sources:
    """Doubles of all sources that ask for secrets, each with one file or package.

    Attributes:
        models: Of a bundle.
        nodes: Likewise.
        hosts: Annotation by Secret.
    """

    models: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    hosts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, source: dict[str, Any]) -> None:
        self.models.append({"path": f"checkpoints/{name}.safetensors", "source": source})


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    made = Sources()
    content = safetensors(5000)
    with contextlib.ExitStack() as stack:
        for part in ("s3", "repositories"):
            (tmp_path / part).mkdir()
        _hubs(made, stack.enter_context(hugging_face.running()), stack.enter_context(hugging_face.running()))
        site = stack.enter_context(civitai.running())
        site.tokens.add(SITE)
        site.versions[7] = civitai.Version({"x.safetensors": content}, login=True)
        made.add("site", {"civitai": {"modelVersionId": 7, "endpoint": site.base}})
        s3 = stack.enter_context(seaweed.running(tmp_path / "s3"))
        obstore.put(s3.client(), "x.safetensors", content)
        made.add("bucket", {"s3": {"bucket": seaweed.BUCKET, "key": "x.safetensors", "endpoint": s3.endpoint}})
        registry = stack.enter_context(oci.running())
        registry.users["me"], registry.public = USER, False
        registry.layouts["org/model"] = layout = oci.Layout(tmp_path / "layout")
        layout.tag("v1", layout.manifest([layout.layer("x.safetensors", content)]))
        made.add("registry", {"oci": {"image": f"{registry.host}/org/model:v1", "insecure": True}})
        server = stack.enter_context(git.running(tmp_path / "repositories"))
        server.login = f"me:{GIT}"
        commit = server.repository("pack", tmp_path / "work").commit(**{"__init__.py": b"NODES = 1\n"})
        made.nodes.append({"name": "pack", "git": {"url": f"{server.base}/pack.git", "commit": commit}})
        made.hosts |= {
            "site": site.base,
            "bucket": s3.endpoint,
            "registry": f"{registry.base}, {registry.auth}",
            "git": server.base,
        }
        yield made


def _hubs(made: Sources, hub: hugging_face.HuggingFace, other: hugging_face.HuggingFace) -> None:
    """One that gives the file, and one that knows the token but does not."""
    for name, server, token in (("hub", hub, HUB), ("stranger", other, STRANGER)):
        server.tokens.add(token)
        server.repos["org/gated"] = hugging_face.Repo({"x.safetensors": safetensors(1000)}, gated=True, members={HUB})
        made.add(name, {"huggingFace": {"repo": "org/gated", "file": "x.safetensors", "endpoint": server.base}})
        made.hosts[name] = server.base


async def keep_secrets(bundles: Bundles, hosts: dict[str, str]) -> list[dict[str, Any]]:
    """Make the Secrets; gives spec.credentials."""
    docker = {"auths": {hosts["registry"].partition(",")[0].removeprefix("http://"): login("me", USER)}}
    data: dict[str, dict[str, str]] = {
        "hub": {"token": HUB},
        "site": {"token": SITE},
        "stranger": {"token": STRANGER},
        "bucket": {"AWS_ACCESS_KEY_ID": seaweed.READER, "AWS_SECRET_ACCESS_KEY": seaweed.SECRET},
        "registry": {".dockerconfigjson": json.dumps(docker)},
        "git": {"username": "me", "password": GIT},
    }
    for name, content in data.items():
        await bundles.keep_secret(name, hosts[name], **content)
    key = {"hub": {"key": "token"}, "site": {"key": "token"}, "stranger": {"key": "token"}}
    return [{"secretRef": {"name": name, **key.get(name, {})}} for name in SECRETS]


def login(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def forms(secret: str) -> list[bytes]:
    """A secret as it could stand somewhere."""
    logins = (f"me:{secret}", secret)
    return [secret.encode(), *(base64.b64encode(text.encode()).rstrip(b"=") for text in logins)]


async def test_no_token_is_anywhere(sources: Sources, bundles: Bundles, kubeconfig: Path, tmp_path: Path) -> None:
    await give_access(bundles.kube, bundles.namespace, SECRETS)
    credentials = await keep_secrets(bundles, sources.hosts)
    await bundles.put("b", sources.models, customNodes=sources.nodes, credentials=credentials)
    volume, log = tmp_path / "models", tmp_path / "log"
    volume.mkdir()
    settings = {
        "NAMESPACE": bundles.namespace,
        "CLAIM": CLAIM,
        "INVENTORY": INVENTORY,
        "STORE_DIRECTORY": str(volume),
        "REPORT_SECONDS": "0.05",
        "LINGER_SECONDS": "600",
    }
    env = {**os.environ, **{f"COMFYARD_{key}": value for key, value in settings.items()}, "KUBECONFIG": str(kubeconfig)}
    with log.open("wb") as opened:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "comfyard", "sync", env=env, stdout=opened, stderr=opened
        )
    try:
        states = await settled(bundles)
        seen = {name: (Path("/proc") / str(process.pid) / name).read_bytes() for name in ("cmdline", "environ")}
    finally:
        process.terminate()
        async with asyncio.timeout(SECONDS):
            await process.wait()
    assert states == {
        "hub": ("Ready", ""),
        "stranger": ("Failed", "LicenceRequired"),
        "site": ("Ready", ""),
        "bucket": ("Ready", ""),
        "registry": ("Ready", ""),
        "pack": ("Ready", ""),
    }
    seen["log"] = log.read_bytes()
    for kind in (MODEL_BUNDLE, EVENT, CONFIG_MAP, POD, JOB):
        seen[kind.kind] = json.dumps((await bundles.kube.list(kind, bundles.namespace)).items).encode()
    for path in volume.rglob("*"):
        seen[str(path)] = path.read_bytes() if path.is_file() else b""
    everything = b"".join(name.encode() + content for name, content in seen.items())
    assert b"LicenceRequired" in seen[EVENT.kind]
    assert b"pack" in seen["log"]
    for secret in (HUB, SITE, STRANGER, USER, GIT, seaweed.SECRET):
        assert not [form for form in forms(secret) if form in everything], secret
    assert b"Signature=" not in everything


async def settled(bundles: Bundles) -> dict[str, tuple[str, str]]:
    """Wait until everything is settled; gives state and reason by name."""
    states: dict[str, tuple[str, str]] = {}

    async def check() -> bool:
        status = await bundles.status("b")
        rows = {Path(row["path"]).stem: row for row in status.get("models", [])}
        rows |= {row["name"]: row for row in status.get("customNodes", [])}
        states.update({name: (row["state"], row["reason"]) for name, row in rows.items()})
        return bool(states) and all(state in {"Ready", "Failed"} for state, _ in states.values())

    await eventually(check)
    return states
