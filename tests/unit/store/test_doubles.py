"""The doubles refuse what the real sites refuse (shared reference A4, A5), or tests against them would show nothing."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.doubles import civitai, hugging_face
from tests.unit.store.source_server import noise, sha256

LOGIN = {"Authorization": "Bearer key"}
MODEL = noise(1000)


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, httpx2.Headers]:
    """Status and headers, redirects not followed."""
    answer = httpx2.request(method, url, headers={"User-Agent": "a-test", **headers})
    return answer.status_code, answer.headers


@pytest.fixture
def site() -> Iterator[civitai.Civitai]:
    with civitai.running() as server:
        server.tokens = {"key"}
        server.versions[1] = civitai.Version({"m.safetensors": MODEL}, login=True)
        yield server


def test_civitai(site: civitai.Civitai) -> None:
    download = f"{site.base}/api/download/models/1"
    assert ask(download, "HEAD", **LOGIN)[0] == 401
    assert ask(download, **{"User-Agent": "Python-urllib/3.11"}, **LOGIN)[0] == 403
    assert ask(download)[0] == 401
    status, headers = ask(download, **LOGIN)
    assert (status, headers["Location"].startswith(site.storage.base)) == (307, True)
    assert ask(headers["Location"], **LOGIN)[0] == 400
    assert ask(headers["Location"], Range="bytes=0-9")[0] == 206
    site.storage.expire()
    assert ask(headers["Location"])[0] == 403


def test_hugging_face() -> None:
    with hugging_face.running() as hub:
        hub.repos["a/b"] = hugging_face.Repo(lfs={"m.safetensors": MODEL}, small={"config.json": b"{}"})
        status, headers = ask(f"{hub.base}/a/b/resolve/main/m.safetensors", "HEAD")
        assert (status, headers["X-Linked-ETag"], headers["X-Linked-Size"]) == (302, f'"{sha256(MODEL)}"', "1000")
        assert headers["X-Repo-Commit"] == hub.repos["a/b"].commit
        status, at_cdn = ask(headers["Location"])
        assert status == 200
        assert len({headers["X-Linked-ETag"], headers["ETag"], at_cdn["ETag"]}) == 3
        assert ask(headers["Location"], **LOGIN)[0] == 400
        assert ask(headers["Location"], "HEAD")[0] == 403
        hub.repos["a/b"].gated = True
        status, headers = ask(f"{hub.base}/a/b/resolve/main/m.safetensors")
        assert (status, headers["X-Error-Code"]) == (401, "GatedRepo")
