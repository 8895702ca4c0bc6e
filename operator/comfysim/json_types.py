"""The type of what a client sent and nobody has checked."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value. ComfyUI 0.3.64 takes most request fields as they come, and so do the places that use this name."""
