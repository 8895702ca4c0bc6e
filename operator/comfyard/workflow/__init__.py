"""Graphs in ComfyUI's API format: what they name, their parameters, and their digest. Pure."""
