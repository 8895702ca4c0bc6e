"""Objects for tests: small, valid, changed by keyword."""

from datetime import UTC, datetime
from typing import Any

from comfyard.api.generation_job import GenerationJob
from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "3c8f8a54-6d0c-4a7e-9b57-0d1a5c2b6e11"
SHA = "a" * 64


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "studio",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-02T03:04:00Z",
        **more,
    }


def graph() -> dict[str, Any]:
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
                "seed": "{{seed}}",
                "steps": "{{steps}}",
                "cfg": 7.5,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1,
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "{{prompt}}, sharp"}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "text, watermark"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "out"}},
    }


def template_spec(**more: Any) -> dict[str, Any]:
    return {
        "graph": graph(),
        "bundles": [{"name": "sd15"}],
        "parameters": [
            {"name": "prompt", "type": "String", "required": True},
            {"name": "steps", "type": "Integer", "default": 20, "minimum": 1, "maximum": 60},
            {"name": "seed", "type": "Seed"},
        ],
        "outputs": [{"name": "image", "node": "9"}],
        **more,
    }


def ready(reason: str = "Accepted") -> list[dict[str, Any]]:
    return [
        {
            "type": "Ready",
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": "2026-01-02T03:04:00Z",
            "observedGeneration": 1,
        }
    ]


def template(status: dict[str, Any] | None = None, **spec: Any) -> WorkflowTemplate:
    accepted = {"observedGeneration": 1, "conditions": ready(), "revision": "t-1", "digest": "sha256:t"}
    return WorkflowTemplate.model_validate(
        {
            "metadata": meta("text-to-image"),
            "spec": template_spec(**spec),
            "status": accepted if status is None else status,
        }
    )


def bundle(
    name: str = "sd15", status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **spec: Any
) -> ModelBundle:
    path = "checkpoints/sd15.safetensors"
    synced = {
        "observedGeneration": 1,
        "conditions": ready("Verified"),
        "claimName": "models",
        "syncedGeneration": 1,
        "models": [{"path": path, "state": "Ready", "sha256": SHA, "size": 10, "bytes": 10}],
    }
    model = {"path": path, "source": {"http": {"url": "http://host/x"}}, "sha256": SHA}
    return ModelBundle.model_validate(
        {
            "metadata": meta(name, **(metadata or {})),
            "spec": {"store": {"claimName": "models"}, "models": [model], **spec},
            "status": synced if status is None else status,
        }
    )


def profile(
    name: str = "l4", max_servers: int = 2, gpus: int = 1, idle_seconds: int = 300, **spec: Any
) -> HardwareProfile:
    return HardwareProfile.model_validate(
        {
            "metadata": {**meta(name), "namespace": ""},
            "spec": {
                "gpu": {"count": gpus},
                "server": {"image": "comfyui:1"},
                "pool": {"maxServers": max_servers, "idleSeconds": idle_seconds},
                **spec,
            },
        }
    )


def job(status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **spec: Any) -> GenerationJob:
    return GenerationJob.model_validate(
        {
            "metadata": meta(**{"name": "lighthouse", **(metadata or {})}),
            "spec": {
                "template": {"name": "text-to-image"},
                "profiles": ["l4"],
                "parameters": {"prompt": "a lighthouse"},
                **spec,
            },
            "status": status or {"observedGeneration": -1},
        }
    )


def sweep(status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **spec: Any) -> GenerationSweep:
    order = {"template": {"name": "text-to-image"}, "profiles": ["l4"], "parameters": {"prompt": "a lighthouse"}}
    three = {} if "sets" in spec else {"matrix": [{"parameter": "steps", "values": [10, 20, 30]}]}
    return GenerationSweep.model_validate(
        {
            "metadata": meta("styles", **(metadata or {})),
            "spec": {"jobTemplate": {"spec": order}, **three, **spec},
            "status": status or {"observedGeneration": -1},
        }
    )
