# syntax=docker/dockerfile:1
# A real ComfyUI 0.3.64 with CUDA, for GPU nodes. CI does not build it: it takes 10 GB and a GPU to say anything.
FROM python:3.12-slim-bookworm
ADD https://github.com/comfyanonymous/ComfyUI.git#a125cd84b054a57729b5eecab930ca9408719832 /opt/ComfyUI
# The Linux wheels of torch bring CUDA's libraries; the driver comes from the node.
RUN pip install --no-cache-dir --requirement /opt/ComfyUI/requirements.txt
WORKDIR /opt/ComfyUI
USER 65532:65532
ENTRYPOINT ["python", "main.py"]
