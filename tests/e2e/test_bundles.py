"""Bundles on a real cluster: nothing that was not verified is visible."""

import hashlib

import pytest

from comfyard.controller.resources.sync_job import sync_name
from tests.e2e.conftest import CHECKPOINT, PULL, Studio

pytestmark = pytest.mark.e2e

CLAIM = "comfyard-models"


def test_a_wrong_digest_stalls_the_bundle_and_shows_no_file(studio: Studio) -> None:
    wrong = "0" * 64
    studio.create_bundle({**studio.checkpoint, "sha256": wrong})
    studio.wait("Stalled", "cmb/sd15")
    said = studio.kubectl("describe", "cmb", "sd15")
    assert wrong in said
    assert studio.checkpoint["sha256"] in said
    assert not [path for path in studio.files(CLAIM) if path.endswith(CHECKPOINT)]


def test_a_corrected_digest_makes_it_ready(studio: Studio) -> None:
    studio.create_bundle({**studio.checkpoint, "sha256": "0" * 64})
    studio.wait("Stalled", "cmb/sd15")
    studio.create_bundle(studio.checkpoint)
    studio.wait("Ready", "cmb/sd15")
    data = studio.files(CLAIM)[f"checkpoints/{CHECKPOINT}"]
    assert hashlib.sha256(data).hexdigest() == studio.checkpoint["sha256"]


def test_a_sync_that_is_killed_goes_on(studio: Studio) -> None:
    studio.create_bundle(studio.checkpoint)
    job = f"job/{sync_name(CLAIM)}"
    studio.kubectl("wait", "--for=create", PULL, job)
    studio.kubectl("wait", "--for=jsonpath={.status.active}=1", PULL, job)
    studio.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=sync", "--force", "--grace-period=0")
    studio.wait("Ready", "cmb/sd15")
