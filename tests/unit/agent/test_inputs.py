"""Files of jobs on their way into ComfyUI's input directory, from real places."""

import asyncio
import base64
import hashlib
import io
import struct
import uuid
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest
from PIL import Image

from comfyard.agent.input_places import InputError, Places
from comfyard.agent.inputs import InputFile, Inputs
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob
from comfyard.api.workflow_template import FileType
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB, SECRET
from comfyard.store.http.web import Web
from tests.builders import UID, job
from tests.doubles import seaweed as weed
from tests.unit.store.source_server import Source, running

pytestmark = pytest.mark.api

MEDIA = Path(__file__).parents[1] / "outputs" / "media"
TYPES: dict[str, FileType] = {"photo": "Image", "shape": "Mask", "film": "Video", "song": "Audio"}


def picture(form: str = "PNG", size: int = 16) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (size, size), bytes(i % 251 for i in range(size * size * 3))).save(file, form)
    return file.getvalue()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def source() -> Iterator[Source]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weed.Seaweed]:
    with weed.running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@dataclass
class Desk:
    """Inputs of one agent."""

    folder: Path
    client: LightkubeClient
    namespace: str
    web: Web
    fetch_seconds: float = 0
    input_bytes: int = 1_000_000

    @property
    def input(self) -> Path:
        return self.folder / "input"

    @property
    def claim(self) -> Path:
        return self.folder / "claims" / "pictures"

    def open(self) -> Inputs:
        settings = Settings(
            namespace=self.namespace,
            server="s-1",
            input_directory=self.input,
            inputs_directory=self.folder / "claims",
            fetch_seconds=self.fetch_seconds,
            input_bytes=self.input_bytes,
        )
        return Inputs(Places(self.client, settings, self.web), settings)

    async def fetch(self, **given: Any) -> list[InputFile]:
        return await self.open().fetch(ordered(given), TYPES)

    async def one(self, **given: Any) -> InputFile:
        [file] = await self.fetch(**given)
        assert sha((self.input / file.name).read_bytes()) == file.sha256
        return file

    async def refusal(self, **given: Any) -> str:
        with pytest.raises(InputError) as caught:
            await self.fetch(**given)
        assert list((self.input / UID).iterdir()) == []
        return str(caught.value)


def ordered(inputs: dict[str, Any]) -> GenerationJob:
    return job({}, inputs=[{"parameter": name, **where} for name, where in inputs.items()])


@pytest.fixture
async def desk(tmp_path: Path, kube: LightkubeClient, namespace: str) -> AsyncIterator[Desk]:
    with Web(connect_seconds=2, read_seconds=2) as web:
        desk = Desk(tmp_path, kube, namespace, web)
        desk.claim.mkdir(parents=True)
        (desk.input / UID).mkdir(parents=True)
        yield desk


async def test_a_file_has_a_folder_of_its_job_and_the_parameters_name(desk: Desk, source: Source) -> None:
    content = picture()
    source.serve("lamps/Red Lamp.PNG", content)
    file = await desk.one(photo={"url": f"{source.base}/lamps/Red%20Lamp.PNG"})
    assert file == InputFile("photo", f"{UID}/photo.png", sha(content), len(content))


async def test_several_files_come_from_several_places(desk: Desk, source: Source) -> None:
    (desk.claim / "film.mp4").write_bytes((MEDIA / "film.mp4").read_bytes())
    found = await desk.fetch(
        film={"claim": {"name": "pictures", "path": "film.mp4"}},
        photo={"url": source.serve("a.png", picture())},
        song={"url": source.serve("song", (MEDIA / "song.opus").read_bytes())},
    )
    assert [file.name for file in found] == [f"{UID}/film.mp4", f"{UID}/photo.png", f"{UID}/song.ogg"]


@pytest.mark.parametrize(
    ("name", "form", "suffix"),
    [
        ("lamp", "JPEG", ".jpg"),
        ("lamp", "AVIF", ".avif"),
        ("lamp", "MPO", ".jpg"),
        ("lamp.jpeg", "JPEG", ".jpeg"),
        ("x.php%3Fa", "WEBP", ".webp"),
        ("", "GIF", ".gif"),
    ],
)
async def test_a_suffix_is_that_of_the_name_or_of_the_content(
    desk: Desk, source: Source, name: str, form: str, suffix: str
) -> None:
    source.serve(name.replace("%3F", "?"), picture(form))
    file = await desk.one(photo={"url": f"{source.base}/{name}"})
    assert file.name == f"{UID}/photo{suffix}"


@pytest.mark.parametrize(
    ("parameter", "content", "why"),
    [
        ("photo", b"<html>not found</html>", "it is no picture, as it begins with b'<html>no'; give a PNG, JPEG"),
        ("photo", b"", "it is no picture, as it is empty"),
        ("shape", picture()[:60] + b"x" + picture()[61:], "it is a broken picture: broken PNG file"),
        ("film", picture(), "it is no film, as it begins with b'\\x89PNG\\r\\n\\x1a\\n'; give an MP4, WebM"),
        ("film", b"\0\0\0\x1cftypavif" + bytes(64), "it is no film"),
        ("song", (MEDIA / "film.mp4").read_bytes()[:3], "it is no sound"),
    ],
)
async def test_a_file_of_another_type_is_refused(
    desk: Desk, source: Source, parameter: str, content: bytes, why: str
) -> None:
    url = source.serve("a.png", content)
    said = await desk.refusal(**{parameter: {"url": f"{url}?signature=secret"}})
    assert said.startswith(f"parameter {parameter}: {url}")
    assert f"is not what type {TYPES[parameter]} takes: {why}" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
async def test_films_are_known_by_their_beginning(desk: Desk, source: Source, name: str) -> None:
    url = source.serve("film", (MEDIA / name).read_bytes())
    assert (await desk.one(film={"url": url})).name == f"{UID}/film{Path(name).suffix}"


@pytest.mark.parametrize("name", ["song.flac", "song.mp3"])
async def test_sounds_are_known_by_their_beginning(desk: Desk, source: Source, name: str) -> None:
    url = source.serve("song", (MEDIA / name).read_bytes())
    assert (await desk.one(song={"url": url})).name == f"{UID}/song{Path(name).suffix}"


async def test_a_huge_picture_in_a_small_file_is_not_unpacked(desk: Desk, source: Source) -> None:
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    content = picture()
    bomb = content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:]
    file = await desk.one(photo={"url": source.serve("bomb.png", bomb)})
    assert file.bytes == len(bomb)


async def test_a_named_digest_is_checked(desk: Desk, source: Source) -> None:
    content = picture()
    url = source.serve("a.png", content)
    assert (await desk.one(photo={"url": url, "sha256": sha(content)})).sha256 == sha(content)


async def test_a_file_with_another_digest_is_refused(desk: Desk, source: Source) -> None:
    content = picture()
    url = source.serve("a.png", content)
    said = await desk.refusal(photo={"url": url, "sha256": "b" * 64})
    assert said == (
        f"parameter photo: {url} has sha256 {sha(content)}, spec.inputs wants {'b' * 64}; correct one of them"
    )


async def test_a_file_has_a_bound(desk: Desk, source: Source) -> None:
    said = await desk.refusal(photo={"url": source.serve("a.bmp", picture("BMP", 700))})
    assert said.endswith("a.bmp has more than the 1 MB that there is room for here; give a smaller one")


async def test_what_is_not_there_is_not_asked_for_again(desk: Desk, source: Source) -> None:
    desk.fetch_seconds = 60
    said = await desk.refusal(photo={"url": f"{source.base}/absent.png"})
    assert said == f"parameter photo: {source.base}/absent.png is not there; correct the source (404)"
    assert len(source.requests) == 1


async def test_a_login_is_not_known_here(desk: Desk, source: Source) -> None:
    url = source.serve("a.png", picture(), answers=[(401, {})])
    assert "wants a login; name a signed address, or the file in a bucket or on a claim" in await desk.refusal(
        photo={"url": url}
    )


async def test_passing_trouble_is_waited_out(desk: Desk, source: Source) -> None:
    desk.fetch_seconds = 30
    url = source.serve("a.png", picture(size=300), answers=[(503, {})], cuts=[1000])
    assert (await desk.one(photo={"url": url})).name == f"{UID}/photo.png"
    assert len(source.requests) == 3


async def test_patience_has_a_bound(desk: Desk) -> None:
    said = await desk.refusal(photo={"url": "http://127.0.0.1:1/a.png"})
    assert said.startswith("parameter photo: http://127.0.0.1:1/a.png: ")


async def test_a_wait_for_bytes_can_be_ended(desk: Desk, source: Source) -> None:
    desk.web = Web(read_seconds=60)
    url = source.serve("a.png", picture(size=500), stall_after=0)
    fetching = asyncio.create_task(desk.fetch(photo={"url": url}))
    await asyncio.to_thread(source.stalled.wait)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert list((desk.input / UID).iterdir()) == []


async def test_a_file_of_a_claim_is_copied(desk: Desk) -> None:
    (desk.claim / "a").mkdir()
    (desk.claim / "a" / "lamp.png").write_bytes(picture())
    file = await desk.one(photo={"claim": {"name": "pictures", "path": "a/lamp.png"}})
    assert (desk.input / file.name).stat().st_nlink == 1


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("absent.png", "there is no absent.png of claim pictures; correct its path"),
        ("link.png", "link.png of claim pictures is behind a symbolic link; name the file that it leads to"),
        ("folder/secret.png", "is behind a symbolic link"),
        ("a/../../secret.png", "cannot be taken: a/../../secret.png is not below its directory; name an ordinary file"),
        ("real", "cannot be taken: real is not an ordinary file"),
    ],
)
async def test_a_path_does_not_lead_out_of_a_claim(desk: Desk, path: str, why: str) -> None:
    desk.fetch_seconds = 60
    (desk.folder / "claims" / "secret.png").write_bytes(picture())
    (desk.claim / "link.png").symlink_to("../secret.png")
    (desk.claim / "folder").symlink_to("..")
    (desk.claim / "real").mkdir()
    assert why in await desk.refusal(photo={"claim": {"name": "pictures", "path": path}})


async def make_secret(desk: Desk, hosts: str = "127.0.0.1") -> None:
    keys = {"AWS_ACCESS_KEY_ID": weed.READER, "AWS_SECRET_ACCESS_KEY": weed.SECRET}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    about = {"name": "s3", "namespace": desk.namespace, "annotations": {"comfyard.io/hosts": hosts}}
    await desk.client.create(SECRET, {"metadata": about, "data": data})


def in_bucket(seaweed: weed.Seaweed, key: str = "photos/a lamp.png") -> dict[str, Any]:
    return {"bucket": weed.BUCKET, "key": key, "endpoint": seaweed.endpoint, "secretRef": {"name": "s3"}}


async def test_an_object_is_fetched_with_the_keys_of_its_secret(desk: Desk, seaweed: weed.Seaweed) -> None:
    await make_secret(desk)
    await obstore.put_async(seaweed.client(), "photos/a lamp.png", picture())
    assert (await desk.one(photo={"s3": in_bucket(seaweed)})).name == f"{UID}/photo.png"


async def test_a_missing_object_is_named(desk: Desk, seaweed: weed.Seaweed) -> None:
    desk.fetch_seconds = 60
    await make_secret(desk)
    assert "bucket results at http" in await desk.refusal(photo={"s3": in_bucket(seaweed, "absent.png")})


async def test_a_secret_goes_only_where_its_owner_lets_it(desk: Desk, seaweed: weed.Seaweed) -> None:
    await make_secret(desk, hosts="s3.example.com")
    with pytest.raises(InputError, match=r'Secret "s3" may not be sent to 127\.0\.0\.1:'):
        await desk.fetch(photo={"s3": in_bucket(seaweed)})


async def test_a_missing_secret_is_named(desk: Desk, seaweed: weed.Seaweed) -> None:
    with pytest.raises(InputError, match=r'Secret "s3" \(spec.inputs.s3.secretRef\) does not exist; create it'):
        await desk.fetch(photo={"s3": in_bucket(seaweed)})


async def other_job(desk: Desk, uri: str, digest: str, **status: Any) -> None:
    about = {"name": "before", "namespace": desk.namespace}
    spec = {"template": {"name": "t"}, "profiles": ["l4"]}
    await desk.client.create(GENERATION_JOB, {"metadata": about, "spec": spec})
    entry = {"name": "image", "index": 1, "sha256": digest, "bytes": 1, "contentType": "image/png"}
    outputs = [{**entry, "index": 0, "uri": "claim://x/0.png"}, {**entry, "uri": uri}, {**entry, "uri": "claim://x/2"}]
    await desk.client.patch_status(GENERATION_JOB, "before", desk.namespace, {"outputs": outputs, **status})


WANTED = {"job": {"name": "before", "output": "image", "index": 1}}


async def test_a_result_of_another_job_on_a_claim_is_taken(desk: Desk) -> None:
    (desk.claim / "image-001.png").write_bytes(picture())
    await other_job(desk, "claim://pictures/image-001.png", sha(picture()))
    assert (await desk.one(photo=WANTED)).sha256 == sha(picture())


async def test_a_result_of_another_job_in_a_bucket_is_taken(desk: Desk, seaweed: weed.Seaweed) -> None:
    await make_secret(desk)
    await obstore.put_async(seaweed.client(), "renders/image-001.png", picture())
    place = {"bucket": weed.BUCKET, "prefix": "renders", "endpoint": seaweed.endpoint, "secretRef": {"name": "s3"}}
    await other_job(desk, f"s3://{weed.BUCKET}/renders/image-001.png", sha(picture()), output={"s3": place})
    assert (await desk.one(photo=WANTED)).name == f"{UID}/photo.png"


async def test_a_result_that_has_changed_since_is_refused(desk: Desk) -> None:
    (desk.claim / "image-001.png").write_bytes(picture("PNG", 8))
    await other_job(desk, "claim://pictures/image-001.png", sha(picture()))
    said = await desk.refusal(photo=WANTED)
    assert said.startswith("parameter photo: image 1 of job before, image-001.png of claim pictures has sha256 ")
    assert said.endswith(f"it was stored with {sha(picture())}; order that job again")


async def test_a_job_that_is_gone_is_named(desk: Desk) -> None:
    with pytest.raises(InputError, match="parameter photo: job before was deleted; order again with another input"):
        await desk.fetch(photo=WANTED)


async def test_a_result_that_is_gone_is_named(desk: Desk) -> None:
    await other_job(desk, "claim://pictures/image-001.png", sha(picture()))
    with pytest.raises(InputError, match="job before has no result image 7"):
        await desk.fetch(photo={"job": {"name": "before", "output": "image", "index": 7}})


async def test_files_stay_while_anybody_works_on_the_job(desk: Desk, source: Source) -> None:
    inputs, given = desk.open(), ordered({"photo": {"url": source.serve("a.png", picture())}})
    inputs.hold(UID)
    inputs.hold(UID)
    [file] = await inputs.fetch(given, TYPES)
    inputs.release(UID)
    assert (desk.input / file.name).exists()
    inputs.release(UID)
    assert list(desk.input.iterdir()) == []


async def test_what_an_agent_before_us_has_left_is_deleted(desk: Desk) -> None:
    gone, kept, held = (str(uuid.uuid4()) for _ in range(3))
    for name in (gone, kept, held, "clipspace"):
        (desk.input / name).mkdir()
    inputs = desk.open()
    inputs.hold(held)
    inputs.clear([kept])
    assert {path.name for path in desk.input.iterdir()} == {kept, held, "clipspace"}
