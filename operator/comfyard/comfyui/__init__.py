"""Client of one ComfyUI server. Knows nothing of Kubernetes.

/queue and /history/{id} decide what is so; the WebSocket only says where to look, and how far a prompt is.
"""
