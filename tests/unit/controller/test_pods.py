from typing import Any

import pytest

from comfyard.controller.pools import Load, observe_server
from tests.builders import meta

KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-02T03:04:05Z"}}
ENDED = {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-01-02T03:04:05Z"}}


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": meta("l4-1"), "status": {"containerStatuses": list(containers)}}


@pytest.mark.parametrize(
    ("container", "killed"),
    [
        ({"name": "comfyui", "state": KILLED}, True),
        ({"name": "comfyui", "state": {"running": {}}, "lastState": KILLED}, True),
        ({"name": "comfyui", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": KILLED}, True),
        ({"name": "comfyui", "state": {"running": {}}, "lastState": ENDED}, False),
        ({"name": "agent", "state": {"running": {}}, "lastState": KILLED}, False),
        ({"name": "comfyui", "state": {"running": {}}, "lastState": {}}, False),
    ],
)
def test_a_server_tells_when_its_comfyui_was_killed_for_memory(container: dict[str, Any], *, killed: bool) -> None:
    found = observe_server(pod(container), Load()).killed_at
    assert (found is not None) == killed
    assert not found or found.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    ("found", "image"),
    [
        ({"name": "comfyui", "imageID": "ghcr.io/a/comfyui@sha256:12"}, "ghcr.io/a/comfyui@sha256:12"),
        ({"name": "comfyui", "imageID": "docker-pullable://a/comfyui@sha256:12"}, "a/comfyui@sha256:12"),
        ({"name": "comfyui", "imageID": "sha256:12"}, ""),  # of an image that was never in a registry
        ({"name": "comfyui", "imageID": ""}, ""),
        ({"name": "agent", "imageID": "ghcr.io/a/comfyard@sha256:34"}, ""),
    ],
)
def test_a_server_tells_the_image_of_its_comfyui_by_digest(found: dict[str, Any], image: str) -> None:
    assert observe_server(pod(found), Load()).image == image
