"""Custom nodes from a real git server."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob, Tree

from comfyard.store import errors
from comfyard.store.git.checkout import Checkout, Written
from comfyard.store.http.web import Web
from comfyard.store.layout import Layout
from comfyard.store.nodes import NodeStore
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from tests.doubles.git import GitServer, Work, pointer
from tests.unit.store.source_server import noise
from tests.unit.store.volume import lives

FILES = {"__init__.py": b"NODE_CLASS_MAPPINGS = {}\n", "web/js/nodes.js": b"export {}\n", "a bé.txt": b""}


@pytest.fixture
def work(server: GitServer, tmp_path: Path) -> Work:
    """A package with a program, links and folders."""
    made = server.repository("studio/nodes", tmp_path / "work")
    (made.folder / "web/js").mkdir(parents=True)
    for name, content in FILES.items():
        (made.folder / name).write_bytes(content)
    (made.folder / "install.sh").write_bytes(b"#!/bin/sh\n")
    (made.folder / "install.sh").chmod(0o755)
    (made.folder / "web/js/main.js").symlink_to("../../web/js/nodes.js")
    (made.folder / "latest").symlink_to("web")
    made.commit()
    return made


@pytest.fixture
def nodes(layout: Layout) -> Iterator[NodeStore]:
    with Web() as web:
        yield NodeStore(layout, web)


def url(server: GitServer, name: str = "nodes") -> str:
    return f"{server.base}/studio/{name}.git"


def tree(work: Work, commit: str) -> str:
    return work.git("rev-parse", f"{commit}^{{tree}}")


def names(layout: Layout) -> list[str]:
    return sorted(entry.name for entry in layout.nodes.iterdir())


def test_a_package_comes_as_git_has_it(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work, head: str
) -> None:
    before = os.umask(0o077)
    try:
        assert nodes.ensure("nodes", url(server), head, Stop()) == tree(work, head)
    finally:
        os.umask(before)
    folder = layout.nodes / head
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    assert found == {*FILES, "install.sh", "web/js/main.js"}
    assert (folder / "web/js/main.js").read_bytes() == FILES["web/js/nodes.js"]
    assert stat.S_IMODE((folder / "install.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "__init__.py").stat().st_mode) == 0o644
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "web/js")} == {0o755}
    assert names(layout) == [head, f"{head}.json"]
    assert list(layout.git.iterdir()) == []
    asked = len(server.record.requests)
    assert nodes.ensure("nodes", url(server), head, Stop()) == tree(work, head)
    assert len(server.record.requests) == asked


def test_each_commit_has_its_folder_and_what_nobody_wants_goes(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work, head: str
) -> None:
    later = work.commit(**{"more.py": b"pass\n"})
    for commit in (head, later):
        assert nodes.ensure("nodes", url(server), commit, Stop()) == tree(work, commit)
    (layout.nodes / f"{later}.new").mkdir()
    (layout.nodes / f"{later}.old").mkdir()
    (layout.nodes / f"{later}.json.new").write_bytes(b"{")
    (layout.nodes / f"{'1' * 40}.new").mkdir()
    nodes.sweep([later])
    assert names(layout) == [later, f"{later}.json"]
    nodes.sweep([])
    assert names(layout) == []


def spoil(folder: Path, how: str) -> None:
    match how:
        case "changed":
            (folder / "__init__.py").write_bytes(b"import evil\n")
        case "added":
            (folder / "more.py").write_bytes(b"")
        case "removed":
            (folder / "web/js/nodes.js").unlink()
        case "linked":
            (folder / "latest").unlink()
            (folder / "latest").symlink_to("web/js")
        case "gone":
            shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["changed", "added", "removed", "linked", "gone"])
def test_what_is_not_as_it_was_is_fetched_anew(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work, head: str, how: str
) -> None:
    nodes.ensure("nodes", url(server), head, Stop())
    assert nodes.verify(head, Stop()) == tree(work, head)
    spoil(layout.nodes / head, how)
    assert nodes.verify(head, Stop()) is None
    assert nodes.ensure("nodes", url(server), head, Stop()) == tree(work, head)
    assert nodes.verify(head, Stop()) == tree(work, head)
    assert names(layout) == [head, f"{head}.json"]


def test_submodules_come_along(server: GitServer, nodes: NodeStore, layout: Layout, work: Work, tmp_path: Path) -> None:
    inner, innermost = (server.repository(f"studio/{name}", tmp_path / name) for name in ("inner", "innermost"))
    innermost.commit(**{"deep.py": b"deep\n"})
    for above, below in ((inner, "innermost"), (work, "inner")):
        above.git(
            "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(server.folder / f"studio/{below}.git")
        )
        above.git("submodule", "set-url", below, f"../{below}.git")
        above.commit(**{"own.py": b"own\n"})
    head = work.git("rev-parse", "HEAD")
    assert nodes.ensure("nodes", url(server), head, Stop()) == tree(work, head)
    assert (layout.nodes / head / "inner/innermost/deep.py").read_bytes() == b"deep\n"
    assert nodes.verify(head, Stop()) == tree(work, head)
    (layout.nodes / head / "inner/innermost/deep.py").write_bytes(b"changed\n")
    assert nodes.verify(head, Stop()) is None


@pytest.mark.parametrize("address", ["git@example.com:studio/x.git", "file:///etc", "http://user@127.0.0.1/x.git"])
def test_submodules_elsewhere_are_refused(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work, tmp_path: Path, address: str
) -> None:
    inner = server.repository("studio/x", tmp_path / "x")
    inner.commit(**{"x.py": b"x\n"})
    work.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(server.folder / "studio/x.git"))
    work.git("submodule", "set-url", "x", address)
    head = work.commit(**{"own.py": b"own\n"})
    with pytest.raises(errors.RefusedError, match=r"submodule x of .* only http\(s\) is supported, use a fork"):
        nodes.ensure("nodes", url(server), head, Stop())
    assert head not in names(layout)


def test_a_pointer_of_lfs_is_no_file(server: GitServer, nodes: NodeStore, work: Work) -> None:
    head = work.commit(**{"model.pth": pointer(noise(1000))})
    with pytest.raises(errors.RefusedError, match=r"nodes.git keeps model.pth in git-lfs; fetch it as a model"):
        nodes.ensure("nodes", url(server), head, Stop())


def crafted(work: Work, *entries: tuple[str, str, bytes]) -> str:
    """A commit of a tree with any modes, names and contents, which git itself would not make."""
    lines = b""
    for mode, name, content in entries:
        sha = work.git("hash-object", "-w", "-t", "tree" if mode == "40000" else "blob", "--stdin", stdin=content)
        lines += f"{mode} {name}\0".encode() + bytes.fromhex(sha)
    sha = work.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=lines)
    work.git("update-ref", "HEAD", work.git("commit-tree", sha, "-m", "crafted"))
    work.push()
    return work.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("mode", "name", "content"),
    [
        ("100644", "../outside", b"x"),
        ("100644", ".git", b"x"),
        ("100644", ".GIT", b"x"),
        ("40000", "..", b""),
        ("120000", "a", b"/etc/passwd"),
        ("120000", "a", b"../outside"),
        ("120000", "a", b"b/../../outside"),
    ],
)
def test_nothing_leads_out_of_a_package(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work, mode: str, name: str, content: bytes
) -> None:
    head = crafted(work, (mode, name, content))
    with pytest.raises(errors.UnsafePathError):
        nodes.ensure("nodes", url(server), head, Stop())
    assert not (layout.nodes / "outside").exists()
    assert names(layout) == [f"{head}.new"]


def test_a_link_does_not_take_the_place_of_a_folder(
    server: GitServer, nodes: NodeStore, layout: Layout, work: Work
) -> None:
    """A tree that has one name twice could write through the link."""
    head = crafted(work, ("120000", "a", b"b"), ("100644", "a", b"x"))
    with pytest.raises(errors.UnsupportedVolumeError, match="two files of one name"):
        nodes.ensure("nodes", url(server), head, Stop())
    assert names(layout) == [f"{head}.new"]


def test_a_mode_of_old_is_refused(server: GitServer, nodes: NodeStore, work: Work) -> None:
    with pytest.raises(errors.RefusedError, match="a has mode 100664, which git does not write any more"):
        nodes.ensure("nodes", url(server), crafted(work, ("100664", "a", b"x")), Stop())


def test_a_file_that_the_server_leaves_out_is_missed(tmp_path: Path) -> None:
    """It is asked to leave out what is larger than fits into memory."""
    objects, folder = MemoryObjectStore(), Tree()
    folder.add(b"film.mp4", 0o100644, Blob.from_string(b"large").id)
    objects.add_object(folder)
    with pytest.raises(errors.RefusedError, match=r"does not give film.mp4; it may be too large for git, use a fork"):
        Checkout(objects, "nodes", Stop()).write(folder.id, tmp_path, "", Written())


def test_a_kill_at_any_step_leaves_nothing_half(server: GitServer, tmp_path: Path) -> None:
    work = server.repository("studio/small", tmp_path / "small")
    (work.folder / "js").mkdir()
    head = work.commit(**{"__init__.py": b"pass\n", "js/nodes.js": noise(10_000)})
    expected = tree(work, head)

    def act(store: Store) -> str:
        with Web() as web:
            return NodeStore(store.layout, web).ensure("small", url(server, "small"), head, Stop())

    (tmp_path / "lives").mkdir()
    seen = set()
    for store in lives(tmp_path / "lives", lambda _: None, act):
        seen.update(names(store.layout))
        if (store.layout.nodes / head).exists():
            assert (store.layout.nodes / head / "js/nodes.js").read_bytes() == noise(10_000)
        store.clear()
        assert act(store) == expected
        assert names(store.layout) == [head, f"{head}.json"]
    assert seen == {head, f"{head}.json", f"{head}.json.new", f"{head}.new"}
