"""A real S3 server on free ports of the loopback: SeaweedFS."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import obstore
from obstore.store import S3Store as Client

SECONDS = 60.0
OWNER, WRITER, READER = "OWNERKEY", "WRITERKEY", "READERKEY"
SECRET = "a-secret-of-a-test"  # noqa: S105
BUCKET = "results"


@dataclass(frozen=True)
class Seaweed:
    """The server, its bucket `results`, and keys for three users with one secret."""

    endpoint: str

    def client(self, bucket: str = BUCKET) -> Client:
        return Client(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=OWNER,
            secret_access_key=SECRET,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def create(self, bucket: str) -> None:
        """Make a bucket. Anybody may read what is in the one called public."""
        httpx2.put(obstore.sign(self.client(bucket), "PUT", "", timedelta(minutes=1))).raise_for_status()

    def read(self, path: str) -> tuple[bytes, str]:
        """Content and content type of an object."""
        found = obstore.get(self.client(), path)
        return bytes(found.bytes()), str(found.attributes["Content-Type"])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Seaweed]:
    users = {OWNER: ["Admin"], WRITER: ["Read", "Write", "List"], READER: ["Read", "List"]}
    config = folder / "s3.json"
    identities: list[dict[str, object]] = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": SECRET}], "actions": actions}
        for key, actions in users.items()
    ]
    identities.append({"name": "anonymous", "actions": ["Read:public"]})
    config.write_text(json.dumps({"identities": identities}))
    data = folder / "data"
    data.mkdir()
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip((f"{name}.port{grpc}" for name in names for grpc in ("", ".grpc")), _free_ports(8), strict=True))
    arguments = [
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", "-filer", "-s3", f"-s3.config={config}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=8"),
        "-s3.autoCreateBucket=false",
        *("-volume.preStopSeconds=0", f"-s3.localSocket={folder}/s3.sock", f"-filer.localSocket={folder}/filer.sock"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    weed = Path(sys.executable).with_name("weed")
    seaweed = Seaweed(f"http://127.0.0.1:{ports['s3.port']}")
    with (folder / "log").open("wb") as log, subprocess.Popen([weed, "server", *arguments], stderr=log) as process:
        try:
            asyncio.run(_until_it_answers(seaweed))
            yield seaweed
        finally:
            process.kill()


async def _until_it_answers(seaweed: Seaweed) -> None:
    """Make the bucket, which works once all parts of the server have found each other."""
    async with asyncio.timeout(SECONDS), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                made = await http.put(obstore.sign(seaweed.client(), "PUT", "", timedelta(minutes=1)))
                made.raise_for_status()
                return


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
