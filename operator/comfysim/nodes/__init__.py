"""The node classes that the stand-in executes, by class name."""

from comfysim.nodes import conditioning, images, latents, loaders, media, sampling
from comfysim.nodes.registry import NODES, NodeContext, NodeOutput

__all__ = ["NODES", "NodeContext", "NodeOutput", "conditioning", "images", "latents", "loaders", "media", "sampling"]
