"""Bundles for the tests of the sync."""

from datetime import UTC, datetime
from typing import Any

from comfyard.api.model_bundle import ModelBundle
from comfyard.store.contents.kinds import Weights
from comfyard.store.wants import Stored

A, B = "a" * 64, "b" * 64
PATH = "checkpoints/x.safetensors"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def model(sha256: str | None = None, url: str = "http://h/x", path: str = PATH, **more: Any) -> dict[str, Any]:
    digest = {"sha256": sha256} if sha256 else {}
    return {"path": path, "source": {"http": {"url": url}}, **digest, **more}


def node(name: str, commit: str, url: str = "http://git/x") -> dict[str, Any]:
    return {"name": name, "git": {"url": url, "commit": commit * 40}}


WEIGHTS = Weights("Checkpoint", 90, 60, "F16")
"""Of every file that is in place."""


def ready(path: str = PATH, sha256: str = A) -> dict[str, Any]:
    return {"path": path, "state": "Ready", "sha256": sha256}


def bundle(name: str, *models: dict[str, Any], **more: Any) -> ModelBundle:
    """A bundle that the operator has observed; what else is said goes to metadata, status or spec by its name."""
    meta = {"name": name, "namespace": "studio", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    status = {"claimName": "models", "observedGeneration": 1}
    return ModelBundle.model_validate(
        {
            "metadata": {**meta, "generation": 1, **more.pop("meta", {})},
            "status": {**status, **more.pop("status", {})},
            "spec": {"models": list(models), **more},
        }
    )


def stored(sha256: str = A, size: int = 100, verified: datetime = NOW) -> Stored:
    return Stored(sha256, size, verified, WEIGHTS)
