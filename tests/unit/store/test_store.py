"""From a source to the path where ComfyUI sees it: only what is right, only whole, and once."""

import os
import pickle
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from comfyard.api.model_bundle import Source as ApiSource
from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.transfer.download import Options, Progress
from comfyard.store.wants import Stored, Want
from tests.unit.store.source_server import Source, noise, safetensors, sha256
from tests.unit.store.torch_files import Calls, archive, clean_members
from tests.unit.store.volume import EXISTING, put, recover, visible, write

SIZE = 3_000_000
CONTENT = noise(SIZE)
PATH = "checkpoints/model.gguf"


def want(url: str, digest: str | None = sha256(CONTENT), path: str = PATH) -> Want:
    return Want(path, ApiSource.model_validate({"http": {"url": url}}), digest)


def is_content(stored: Stored | None, content: bytes) -> bool:
    return stored is not None and (stored.sha256, stored.size) == (sha256(content), len(content))


@dataclass
class Bench:
    """A store, and what it takes to fetch into it."""

    store: Store
    web: Web
    last: Progress | None = None

    def fetch(self, one: Want, *, replace: bool = True) -> Stored:
        origin = origin_of(one, self.web, self.store.layout.root, Path("/nonexistent"))
        return self.store.fetch(one, origin, self.web, self._report, Stop(), replace=replace)

    def visible(self) -> list[str]:
        return sorted(visible(self.store))

    def unfinished(self) -> list[str]:
        return sorted(path.suffix for path in self.store.layout.partial.iterdir())

    def contents(self) -> list[str]:
        return sorted(path.name for path in self.store.layout.blobs.iterdir())

    def _report(self, progress: Progress) -> None:
        self.last = progress


@pytest.fixture
def bench(tmp_path: Path, web: Web) -> Bench:
    store = Store(tmp_path, Options(connections=4, part=1024 * 1024))
    store.layout.prepare()
    return Bench(store, web)


def test_a_file_comes_into_place(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    before = os.umask(0o077)
    try:
        stored = bench.fetch(one)
    finally:
        os.umask(before)
    assert is_content(stored, CONTENT)
    file = bench.store.layout.root / PATH
    assert file.read_bytes() == CONTENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(bench.store.layout.blobs.stat().st_mode) == 0o755
    assert file.samefile(bench.store.layout.blobs / sha256(CONTENT))
    assert bench.unfinished() == []
    assert bench.last == Progress(SIZE, SIZE, SIZE)
    asked = len(source.requests)
    assert bench.store.settle(one) == stored
    assert len(source.requests) == asked


def test_what_is_not_whole_is_not_visible(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, cuts=[200_000] * 4, ranges=False)
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    assert bench.visible() == bench.contents() == []
    source.serve("x", CONTENT)
    assert is_content(bench.fetch(want(url)), CONTENT)


def test_other_content_is_never_visible(source: Source, bench: Bench) -> None:
    other = noise(1000, seed=1)
    url = source.serve("x", other)
    with pytest.raises(errors.DigestMismatchError) as caught:
        bench.fetch(want(url))
    assert sha256(CONTENT) in str(caught.value)
    assert sha256(other) in str(caught.value)
    assert bench.visible() == bench.unfinished() == bench.contents() == []


def test_the_right_size_but_zeros(source: Source, bench: Bench) -> None:
    """What preallocated files look like that were never written: nothing but a digest tells."""
    right = safetensors(SIZE)
    wrong = right[: len(right) - SIZE] + bytes(SIZE)
    url = source.serve("x", wrong)
    with pytest.raises(errors.DigestMismatchError):
        bench.fetch(want(url, sha256(right), "checkpoints/x.safetensors"))
    assert bench.visible() == bench.unfinished() == bench.contents() == []


def test_two_versions_mixed_by_the_server_get_one_more_chance(source: Source, bench: Bench) -> None:
    other = noise(SIZE, seed=1)
    url = source.serve("x", other, cuts=[2_000_000], validator="modified", ranges=False)
    served = source.files["x"]
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    served.ranges = True
    served.content = other[:64] + CONTENT[64:]  # the validator is made of the first bytes: a liar
    with pytest.raises(errors.SourceChangedError, match="anew"):
        bench.fetch(want(url))
    assert bench.visible() == []
    with pytest.raises(errors.DigestMismatchError):
        bench.fetch(want(url))
    served.content = CONTENT
    assert is_content(bench.fetch(want(url)), CONTENT)


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Sign in</title>", b"version https://git-lfs.github.com/spec"])
def test_a_web_page_is_no_model(source: Source, bench: Bench, page: bytes) -> None:
    url = source.serve("x", page + bytes(3000))
    with pytest.raises(errors.NotASafetensorsError, match=r"web page|pointer of git-lfs"):
        bench.fetch(want(url, None, "checkpoints/x.safetensors"))
    assert bench.visible() == bench.unfinished() == bench.contents() == []
    assert list(bench.store.layout.origins.iterdir()) == []


def test_content_that_came_under_another_name_is_checked_again(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT)
    bench.fetch(want(url))
    with pytest.raises(errors.NotASafetensorsError):
        bench.store.settle(want(url, path="checkpoints/x.safetensors"))
    assert bench.visible() == [PATH]


def test_what_was_judged_when_it_could_not_be_placed_is_not_fetched_again(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT)
    in_the_way = bench.store.layout.blobs / sha256(CONTENT)
    in_the_way.mkdir()
    with pytest.raises(errors.VolumeError):
        bench.fetch(want(url))
    in_the_way.rmdir()
    sent = source.sent
    assert is_content(Bench(Store(bench.store.layout.root), bench.web).fetch(want(url)), CONTENT)
    assert source.sent == sent


def test_the_first_content_of_a_source_is_remembered(source: Source, bench: Bench) -> None:
    content = safetensors(1000)
    url = source.serve("x", content)
    one, two = want(url, None, "loras/a.safetensors"), want(url, None, "loras/b.safetensors")
    assert bench.store.settle(one) is None
    stored = bench.fetch(one)
    assert is_content(stored, content)
    assert bench.store.settle(one) == bench.store.settle(two) == stored
    assert bench.visible() == ["loras/a.safetensors", "loras/b.safetensors"]
    assert bench.store.settle(want(f"{url}?2", None)) is None


def test_a_wrong_file_is_replaced(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    file = write(bench.store, PATH, b"of last year")
    bench.fetch(one)
    assert file.read_bytes() == CONTENT
    bench.fetch(want(source.serve("y", b"newer"), sha256(b"newer")))
    assert file.read_bytes() == b"newer"
    assert is_content(bench.store.settle(one), CONTENT)
    assert file.read_bytes() == CONTENT


def test_what_runs_keeps_its_file_and_the_new_one_waits_beside_it(source: Source, bench: Bench) -> None:
    before = want(source.serve("x", b"that jobs use"), sha256(b"that jobs use"))
    bench.fetch(before)
    after = want(source.serve("y", CONTENT))
    with pytest.raises(errors.InUseError, match=r"checkpoints/model\.gguf has another content that running jobs use"):
        bench.fetch(after, replace=False)
    assert visible(bench.store) == {PATH: b"that jobs use"}
    asked = len(source.requests)
    with pytest.raises(errors.InUseError):
        bench.store.settle(after, replace=False)
    assert bench.store.collect({sha256(CONTENT)}, set()) == 0
    assert is_content(bench.store.settle(after), CONTENT)
    assert visible(bench.store) == {PATH: CONTENT}
    assert len(source.requests) == asked


def test_a_file_that_was_written_to_is_noticed_and_taken_away(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    with (bench.store.layout.root / PATH).open("r+b") as file:
        file.write(b"rot")
    assert bench.store.settle(one) is None
    assert recover(bench.store, one) is None
    assert bench.visible() == bench.contents() == []
    assert is_content(bench.fetch(one), CONTENT)


def test_a_touched_file_is_read_once(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    (bench.store.layout.root / PATH).touch()
    assert bench.store.settle(one) is None
    assert recover(bench.store, one) == bench.store.settle(one)
    assert bench.store.settle(one)


def test_a_path_that_was_removed_comes_back(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    (bench.store.layout.root / PATH).unlink()
    asked = len(source.requests)
    assert bench.store.settle(one)
    assert bench.visible() == [PATH]
    assert len(source.requests) == asked


def test_a_directory_in_the_way_is_named(source: Source, bench: Bench) -> None:
    (bench.store.layout.root / PATH).mkdir(parents=True)
    one = want(source.serve("x", CONTENT))
    for act in (bench.fetch, bench.store.settle, lambda one: recover(bench.store, one)):
        with pytest.raises(errors.PathConflictError, match="is a directory"):
            act(one)


def test_only_wanted_unfinished_files_stay(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, cuts=[2_000_000], ranges=False)
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    (bench.store.layout.partial / "sha256-0.journal.new").write_bytes(b"a crash")
    bench.store.sweep({want(url).content_key})
    assert bench.unfinished() == [".journal", ".part"]
    bench.store.sweep(set())
    assert bench.unfinished() == []


def test_what_comes_from_nowhere_is_not_found(bench: Bench) -> None:
    with pytest.raises(errors.NotFoundError, match=PATH):
        bench.fetch(Want(PATH, EXISTING, None))


@pytest.mark.parametrize("digest", [None, sha256(CONTENT)])
def test_formats_that_run_code_are_refused_before_a_byte(source: Source, bench: Bench, digest: str | None) -> None:
    one = want(source.serve("x", CONTENT), digest, "embeddings/bad-hands.PT")
    one = replace(one, allow_pickle=digest is None)
    for act in (bench.store.settle, bench.fetch, lambda one: recover(bench.store, one)):
        with pytest.raises(errors.PickleRefusedError, match="allowPickle"):
            act(one)
    assert source.requests == []


def test_formats_that_run_code_are_scanned(
    source: Source, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clean = archive(tmp_path_factory.mktemp("torch") / "x", clean_members()).read_bytes()
    one = replace(want(source.serve("x", clean), sha256(clean), "upscale_models/x.pth"), allow_pickle=True)
    stored = bench.fetch(one)
    assert bench.store.settle(one) == stored
    two = replace(one, path="upscale_models/y.pth")
    assert bench.store.settle(two) is None  # a scan takes time
    assert recover(bench.store, two) == bench.store.settle(two) == stored
    evil = pickle.dumps(Calls(os.system, "true"))
    one = replace(want(source.serve("y", evil), sha256(evil), "upscale_models/z.pth"), allow_pickle=True)
    with pytest.raises(errors.PickleRefusedError, match="system"):
        bench.fetch(one)
    assert bench.visible() == ["upscale_models/x.pth", "upscale_models/y.pth"]
    assert bench.unfinished() == []


def test_another_name_does_not_make_it_harmless(source: Source, bench: Bench) -> None:
    evil = pickle.dumps(Calls(os.system, "true"))
    url = source.serve("x", evil)
    with pytest.raises(errors.PickleRefusedError, match="set allowPickle"):
        bench.fetch(want(url, sha256(evil), "loras/x.data"))
    with pytest.raises(errors.PickleRefusedError, match="system"):
        bench.fetch(replace(want(url, sha256(evil), "loras/x.data"), allow_pickle=True))
    with pytest.raises(errors.NotASafetensorsError):
        bench.fetch(replace(want(url, sha256(evil), "loras/x.safetensors"), allow_pickle=True))
    assert bench.visible() == bench.unfinished() == bench.contents() == []


def test_what_was_there_is_scanned_too(bench: Bench) -> None:
    evil = pickle.dumps(Calls(os.system, "true"))
    write(bench.store, "loras/x.pt", evil)
    one = Want("loras/x.pt", EXISTING, sha256(evil), allow_pickle=True)
    with pytest.raises(errors.PickleRefusedError, match="system"):
        recover(bench.store, one)
    assert bench.contents() == []
    clean = pickle.dumps({"a": 1})
    put(bench.store, CONTENT, PATH)
    write(bench.store, "loras/y.pkl", clean)
    assert recover(bench.store, Want("loras/y.pkl", EXISTING, sha256(clean), allow_pickle=True))
