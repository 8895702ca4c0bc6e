"""What a server has in memory: what jobs have left there, until ComfyUI is started again."""

from typing import Any

import pytest

from comfyard.api.attempts import parse_time
from comfyard.controller.pools import Load, observe_server
from tests.builders import meta

MODELS = frozenset({"a" * 64})
SINCE = parse_time("2026-01-02T03:04:00Z")
LAST_END = parse_time("2026-01-02T03:04:10Z")


def pod(state: dict[str, Any]) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:03:00Z"}
    comfyui = {"name": "comfyui", "ready": True, "restartCount": 1, "state": state}
    return {"metadata": meta("s"), "status": {"conditions": [ready], "containerStatuses": [comfyui]}}


@pytest.mark.parametrize(
    ("started", "jobs", "warm"),
    [
        ("2026-01-02T03:03:00Z", (), True),
        ("2026-01-02T03:04:10Z", (), True),
        ("2026-01-02T03:04:11Z", (), False),
        ("2026-01-02T03:04:11Z", (("studio", "next"),), True),  # it loads them again for the job that it has
    ],
)
def test_a_server_is_warm_until_comfyui_is_started_again(
    started: str,
    jobs: tuple[tuple[str, str], ...],
    warm: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    load = Load(jobs=jobs, models=MODELS, warm_since=SINCE, done=1, last_end=LAST_END)
    server = observe_server(pod({"running": {"startedAt": started}}), load)
    assert (server.models, server.warm_since) == ((MODELS, SINCE) if warm else (frozenset(), None))


def test_a_server_that_has_ended_no_job_yet_has_the_models_of_the_one_it_has() -> None:
    load = Load(jobs=(("studio", "first"),), models=MODELS, warm_since=SINCE)
    assert observe_server(pod({"running": {"startedAt": "2026-01-02T03:03:00Z"}}), load).models == MODELS
    assert observe_server(pod({"waiting": {}}), load).models == MODELS
