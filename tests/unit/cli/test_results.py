"""Which files are fetched, and through what."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from comfyard.api.generation_job import Result
from comfyard.cli.claim_reader import build_reader, node_of, why_not_running
from comfyard.cli.fetching import Place, file_name, missing, place_of
from comfyard.cli.session import CommandError
from tests.builders import UID, job

KEY = "studio/lighthouse-3c8f8a54/image-000.png"


def result(uri: str = f"s3://renders/{KEY}", content: bytes = b"picture") -> Result:
    sha256 = hashlib.sha256(content).hexdigest()
    fields = {"name": "image", "index": 0, "uri": uri, "sha256": sha256, "bytes": len(content)}
    return Result.model_validate({**fields, "contentType": "image/png"})


def test_an_address_tells_bucket_or_claim_and_path() -> None:
    assert place_of(result()) == Place("s3", "renders", KEY)
    assert place_of(result(f"claim://comfyard-results/{KEY}")) == Place("claim", "comfyard-results", KEY)


def test_a_file_keeps_the_name_that_tells_output_and_index() -> None:
    assert file_name(result()) == "image-000.png"


@pytest.mark.parametrize("uri", ["https://host/a.png", "s3://renders", "s3:///a.png", "claim://results/", ""])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(CommandError, match=r"is neither s3://… nor claim://…"):
        place_of(result(uri))


@pytest.mark.parametrize("uri", ["s3://renders/a/..", "s3://renders/a/.", "s3://renders/a/", "s3://renders/a/x\x1b[2J"])
def test_no_address_leads_out_of_the_folder_or_writes_to_the_terminal(uri: str) -> None:
    with pytest.raises(CommandError, match="does not end in a file's name"):
        file_name(result(uri))


def test_what_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    assert missing([result()], tmp_path / "new", force=False) == [result()]
    (tmp_path / "image-000.png").write_bytes(b"picture")
    assert missing([result()], tmp_path, force=False) == []


@pytest.mark.parametrize("content", [b"another", b"more than the picture"])
def test_another_file_of_the_name_is_not_replaced_unasked(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image-000.png").write_bytes(content)
    with pytest.raises(CommandError, match=r"^image-000.png in .* would be replaced .*replace with --force$"):
        missing([result()], tmp_path, force=False)
    assert missing([result()], tmp_path, force=True) == [result()]


def pod(claim: str, phase: str, node: str) -> dict[str, Any]:
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "x", "persistentVolumeClaim": {"claimName": claim}}]
    return {"metadata": {"name": "p"}, "spec": {"volumes": volumes, "nodeName": node}, "status": {"phase": phase}}


def test_a_claim_is_read_where_it_is_mounted() -> None:
    pods = [pod("models", "Running", "a"), pod("results", "Pending", "b"), pod("results", "Running", "c")]
    assert node_of(pods, "results") == "c"
    assert node_of(pods[:2], "results") == ""
    assert node_of([{"metadata": {"name": "p"}, "spec": {}}], "results") == ""


def test_the_reader_goes_where_it_must_and_with_the_job() -> None:
    anywhere = build_reader(job(), "results", "comfyard:1", "")
    there = build_reader(job(), "results", "comfyard:1", "c")
    [owner] = anywhere["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("GenerationJob", "lighthouse", UID)
    assert "affinity" not in anywhere["spec"]
    assert "tolerations" not in anywhere["spec"]
    required = there["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["c"]}]
    assert there["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_the_reader_is_none_of_the_operators_pods_and_cannot_change_a_thing() -> None:
    reader = build_reader(job(), "results", "comfyard:1", "")
    assert "labels" not in reader["metadata"]
    assert reader["spec"]["automountServiceAccountToken"] is False
    [volume] = reader["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "results", "readOnly": True}
    [container] = reader["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"] == [{"name": "results", "mountPath": "/results", "readOnly": True}]


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}


@pytest.mark.parametrize(
    ("status", "why", "hopeless"),
    [
        ({}, "nobody has looked at it yet", False),
        (waiting("ContainerCreating"), "ContainerCreating", False),
        (waiting("ImagePullBackOff", "no such image"), "ImagePullBackOff: no such image", True),
        ({"phase": "Failed", "reason": "Evicted"}, "it has ended: Evicted", True),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]},
            "Unschedulable: 0/3",
            False,
        ),
    ],
)
def test_why_the_reader_does_not_start(status: dict[str, Any], why: str, hopeless: bool) -> None:  # noqa: FBT001
    assert why_not_running({"status": status}) == (why, hopeless)
