"""The program beside one ComfyUI: takes the jobs that are assigned to its server, works on them, reports."""

from comfyard.agent.app import run
from comfyard.agent.settings import Settings

__all__ = ["Settings", "run"]
