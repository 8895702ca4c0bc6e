"""The store sync: makes the files of one claim match what the bundles on it say."""

from comfyard.sync.program import run
from comfyard.sync.settings import Settings

__all__ = ["Settings", "run"]
