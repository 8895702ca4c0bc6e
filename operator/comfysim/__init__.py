"""A stand-in ComfyUI server for clusters without a GPU. It never runs a model, and says so on every picture."""
