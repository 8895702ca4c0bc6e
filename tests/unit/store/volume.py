"""Files on a volume as people and programs leave them there, and lives of a store that end at any step."""

import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from comfyard.api.model_bundle import Source
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.wants import Stored, Want
from tests.unit.store.source_server import sha256

PATH = "checkpoints/model.safetensors"
EXISTING = Source.model_validate({"existing": {}})
NOWHERE = Source.model_validate({"http": {"url": "http://127.0.0.1:9/never-asked"}})

STEPS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}


def prepared(root: Path) -> Store:
    """The store of a volume, as the sync makes it ready."""
    store = Store(root)
    store.layout.prepare()
    return store


def want(content: bytes, path: str = PATH, source: Source = NOWHERE) -> Want:
    return Want(path, source, sha256(content))


def write(store: Store, path: str, content: bytes) -> Path:
    """Somebody puts a file on the volume."""
    file = store.layout.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def recover(store: Store, one: Want, *, replace: bool = True) -> Stored | None:
    return store.recover(one, lambda _: None, Stop(), replace=replace)


def verify(store: Store, one: Want) -> Stored | None:
    return store.verify(one, lambda _: None, Stop())


def put(store: Store, content: bytes, *paths: str) -> Stored:
    """Bring a content under paths, the first time by adoption."""
    write(store, paths[0], content)
    stored = recover(store, want(content, paths[0]))
    for path in paths[1:]:
        stored = store.settle(want(content, path)) or recover(store, want(content, path))
    assert stored
    return stored


def visible(store: Store) -> dict[str, bytes]:
    """All that ComfyUI could list."""
    root = store.layout.root
    found = [path for path in root.rglob("*") if path.is_file() and ".comfyard" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def rot(file: Path, at: int = 5) -> None:
    """Change a byte so that neither size, time nor inode tell."""
    before = file.stat()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[at] ^= 1
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (before.st_size, before.st_mtime_ns, before.st_ino) == (after.st_size, after.st_mtime_ns, after.st_ino)


def die_before(step: int, root: Path) -> None:
    """Kill this process before the file system is asked for that many things below a directory."""
    numbers = count(1)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in STEPS and (event != "open" or str(arguments[0]).startswith(str(root))) and next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def lives(directory: Path, prepare: Callable[[Store], object], act: Callable[[Store], object]) -> Iterator[Store]:
    """Stores in which `act` was killed, before its first step, before its second, and so on until it is through."""
    for step in count(1):
        root = directory / str(step)
        root.mkdir()
        prepare(prepared(root))
        pid = os.fork()
        if pid == 0:
            die_before(step, root)
            act(Store(root))
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert end in {0, -signal.SIGKILL}
        yield Store(root)
        if end == 0:
            return
