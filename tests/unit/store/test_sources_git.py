"""Files from a real git server, in git itself and in git-lfs."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.layout import Layout
from comfyard.store.origin import Origin
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from tests.doubles.git import GitServer, Work, pointer, running
from tests.unit.store.source_server import noise, safetensors, sha256
from tests.unit.store.sourcing import NOWHERE, TOKEN, content_of, located, want, with_password, with_token

MODEL = safetensors(200_000)
LARGE = safetensors(300_000, seed=1)


@pytest.fixture
def work(server: GitServer, tmp_path: Path) -> Work:
    """studio/models.git, with a file in git and one in git-lfs."""
    made = server.repository("studio/models", tmp_path / "work")
    (made.folder / "vae").mkdir()
    (made.folder / "vae/model.safetensors").write_bytes(MODEL)
    (made.folder / "vae/link").symlink_to("model.safetensors")
    made.commit(**{"large.safetensors": pointer(LARGE), "unrelated.bin": noise(3_000_000)})
    server.lfs[sha256(LARGE)] = LARGE
    return made


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


def origin(server: GitServer, web: Web, layout: Layout, commit: str, **fields: Any) -> Origin:
    source = {"url": f"{server.base}/studio/models.git", "commit": commit, "path": "vae/model.safetensors", **fields}
    return origin_of(want("git", **source), web, layout.root, NOWHERE)


def test_a_file_of_a_commit_that_is_no_tip(server: GitServer, web: Web, layout: Layout, work: Work, head: str) -> None:
    work.commit(**{"vae/model.safetensors": b"another"})
    assert content_of(origin(server, web, layout, head), web) == MODEL
    assert list(layout.git.iterdir()) == []


@pytest.mark.parametrize("allow", ["true", "false"])
def test_only_the_file_is_fetched_where_the_server_can(
    server: GitServer, web: Web, layout: Layout, work: Work, head: str, allow: str
) -> None:
    work.configure("uploadpack.allowFilter", allow)
    assert content_of(origin(server, web, layout, head), web) == MODEL
    assert (server.sent < 1_000_000) == (allow == "true")


def test_a_file_in_lfs_comes_with_its_digest(server: GitServer, web: Web, layout: Layout, head: str) -> None:
    one = origin(server, web, layout, head, path="large.safetensors")
    remote = located(one)
    assert (remote.size, remote.sha256) == (len(LARGE), sha256(LARGE))
    assert content_of(one, web) == LARGE
    assert server.storage.record.sent("X-Lfs") == ["yes"]
    assert list(layout.git.iterdir()) == []
    server.lfs.clear()
    with pytest.raises(
        errors.NotFoundError, match="does not have it: Object does not exist; push it with git lfs push"
    ):
        located(one)


@pytest.mark.parametrize("how", ["token", "password"])
def test_a_login_goes_to_its_host_only(server: GitServer, web: Web, layout: Layout, head: str, how: str) -> None:
    user = "x-access-token" if how == "token" else "tess"
    server.login = f"{user}:{TOKEN}"
    web.credentials = with_token(server.base) if how == "token" else with_password("tess", TOKEN, server.base)
    for path, content in (("vae/model.safetensors", MODEL), ("large.safetensors", LARGE)):
        assert content_of(origin(server, web, layout, head, path=path), web) == content
    assert len(set(server.record.sent("Authorization"))) == 1
    assert server.storage.record.sent("Authorization") == [None]
    assert not any(TOKEN in request.path + request.query for request in server.record.requests)


def test_without_a_login_it_is_asked_for(server: GitServer, web: Web, layout: Layout, head: str) -> None:
    server.login = f"tess:{TOKEN}"
    with pytest.raises(errors.UnauthorizedError, match=r"wants a login; name a Secret .* or correct url"):
        content_of(origin(server, web, layout, head), web)
    web.credentials = with_password("tess", "wrong-password", server.base)
    with pytest.raises(errors.UnauthorizedError, match="does not accept the credential") as caught:
        content_of(origin(server, web, layout, head), web)
    assert "wrong-password" not in str(caught.value)


def test_a_server_that_has_moved_does_not_get_the_login(
    server: GitServer, web: Web, layout: Layout, head: str, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    with running(tmp_path / "old") as old:
        old.forward = server.base
        web.credentials = with_token(old.base)
        for path, content in (("vae/model.safetensors", MODEL), ("large.safetensors", LARGE)):
            assert content_of(origin(old, web, layout, head, path=path), web) == content
        assert set(old.record.sent("Authorization")) != {None}
    assert set(server.record.sent("Authorization")) == {None}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"commit": "1" * 40}, "has no such commit; correct commit"),
        ({"path": "vae/x"}, "there is no vae/x of .*; correct path"),
        ({"path": "vae/model.safetensors/x"}, "there is no vae/model.safetensors/x of .*; correct path"),
        ({"path": "vae"}, "vae of .* is a folder or a link; correct path"),
        ({"path": "vae/link"}, "vae/link of .* is a folder or a link; correct path"),
        ({"url": "/studio/nothing.git"}, "nothing.git is not there"),
    ],
)
def test_what_is_missing_is_named(
    server: GitServer, web: Web, layout: Layout, head: str, fields: dict[str, str], message: str
) -> None:
    if "url" in fields:
        fields = {"url": server.base + fields["url"]}
    with pytest.raises(errors.NotFoundError, match=message):
        content_of(origin(server, web, layout, **{"commit": head, **fields}), web)


def test_a_tree_is_no_commit(server: GitServer, web: Web, layout: Layout, work: Work, head: str) -> None:
    tree = work.git("rev-parse", f"{head}^{{tree}}")
    with pytest.raises(errors.StoreError, match=tree):
        content_of(origin(server, web, layout, tree), web)


def test_what_is_no_git_server_is_told(server: GitServer, web: Web, layout: Layout, head: str) -> None:
    page = f"{server.storage.sign('index.html/info/refs', b'<html>')}".partition("?")[0]
    with pytest.raises(errors.StoreError):
        content_of(origin(server, web, layout, head, url=page), web)
    with pytest.raises(errors.UnreachableError):
        content_of(origin(server, web, layout, head, url="http://127.0.0.1:1/x.git"), web)


@pytest.mark.parametrize("where", ["info/refs", "git-upload-pack"])
def test_a_server_that_hangs_can_be_left(server: GitServer, web: Web, layout: Layout, head: str, where: str) -> None:
    server.hang = where
    stop = Stop()

    def ask() -> None:
        server.hanging.wait()
        stop.ask()

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(errors.StoppedError), origin(server, web, layout, head).locate(stop):
        pass
    asking.join()
    assert list(layout.git.iterdir()) == []


def test_a_pack_that_breaks_off_is_worth_another_try(server: GitServer, web: Web, layout: Layout, head: str) -> None:
    for cut in (5, 200, 2_000, 100_000):
        server.cut = cut
        with pytest.raises(errors.UnreachableError):
            content_of(origin(server, web, layout, head), web)
    server.cut = None
    assert content_of(origin(server, web, layout, head), web) == MODEL


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", [0, 6, 11, 12, 13, 40, 80])
def test_nonsense_is_not_taken_for_a_file(server: GitServer, web: Web, layout: Layout, head: str, at: int) -> None:
    server.garble = at
    with pytest.raises(errors.UnreachableError, match="broke off, or sends nonsense"):
        content_of(origin(server, web, layout, head), web)
    assert list(layout.git.iterdir()) == []
    gc.collect()  # dulwich leaves files open that it has stumbled over, which is a warning that is ignored here only
