"""Every broken object of the table, in the cluster: who says what, and that no server is started for it."""

from typing import Any

import pytest
import yaml

from tests.api.conftest import WAIT, Studio
from tests.broken import BUNDLE, JOB, PROFILE, REFUSED, STORED, TEMPLATE, Broken, sound_manifests

pytestmark = pytest.mark.api

SHORT = {PROFILE: "chp", BUNDLE: "cmb", TEMPLATE: "cwt", JOB: "cgj"}


def create(studio: Studio, objects: list[dict[str, Any]]) -> None:
    studio.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(objects))


def sync(studio: Studio) -> None:
    """What the store sync reports when all is well."""
    wanted = studio.get("cmb", "it")["spec"]["models"]
    rows = [{"path": m["path"], "state": "Ready", "sha256": m["sha256"], "size": 10, "bytes": 10} for m in wanted]
    studio.patch_status("cmb", "it", {"syncedGeneration": 1, "models": rows})


@pytest.mark.parametrize("broken", STORED, ids=lambda broken: broken.told[:60])
def test_the_operator_tells_and_starts_nothing(studio: Studio, broken: Broken) -> None:
    create(studio, broken.manifests(studio.profile))
    sync(studio)
    what = f"{SHORT[broken.kind]}/it"
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, what)
    conditions = {each["type"]: each for each in studio.get(*what.split("/"))["status"]["conditions"]}
    assert conditions["Stalled"]["reason"] == broken.reason
    assert broken.told in conditions["Stalled"]["message"]
    assert conditions["Ready"]["status"] == conditions["Reconciling"]["status"] == "False"
    if broken.kind == TEMPLATE:  # and its order waits
        studio.wait("cgj/it", ".status.conditions[?(@.type=='Ready')].reason", "TemplateNotReady")
    else:
        assert conditions["Failed"]["status"] == "True"
    assert studio.servers() == []


@pytest.mark.parametrize("broken", REFUSED, ids=lambda broken: broken.told[:60])
def test_the_api_server_refuses(studio: Studio, broken: Broken) -> None:
    obj = next(each for each in broken.manifests(studio.profile) if each["kind"] == broken.kind)
    said = studio.kubectl("create", "-f", "-", stdin=yaml.safe_dump(obj), ok=False)
    assert (broken.refused or broken.told) in said


def test_what_is_sound_gets_a_server(studio: Studio) -> None:
    """So that no server is a verdict, and not how things always are."""
    create(studio, sound_manifests(studio.profile))
    sync(studio)
    studio.wait_ready("cwt/it")
    studio.wait("cgj/it", ".status.state", "Queued")
    assert len(studio.wait_servers(1)) == 1
