"""Comfyard runs ComfyUI on Kubernetes: models, hardware, workflows and jobs as resources."""

__version__ = "0.1.0"
