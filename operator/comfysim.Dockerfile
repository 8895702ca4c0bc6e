# The stand-in for a ComfyUI server. There is no STOPSIGNAL and no init, as in real ComfyUI images: python is process 1.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# Only for a build behind a proxy that signs anew; neither they nor the file they name stay in the image.
ARG PIP_CERT
ARG SSL_CERT_FILE
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir "uv>=0.13,<0.14" "hatchling>=1.27,<2" \
 && python3 -m venv --without-pip /opt/comfysim
COPY requirements.lock /src/
RUN /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/comfysim/bin/python \
    --constraint /src/requirements.lock aiohttp pillow pyyaml

FROM dependencies AS project
COPY LICENSE README.md pyproject.toml /src/
COPY operator /src/operator
RUN /opt/build/bin/uv build --quiet --wheel --no-build-isolation --python /opt/build/bin/python --out-dir /dist /src \
 && /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/comfysim/bin/python \
    --no-deps --prefix /opt/project /dist/*.whl

FROM ${BASE}
COPY --from=dependencies /opt/comfysim /opt/comfysim
COPY --from=project /opt/project /opt/comfysim
ENV PATH=/opt/comfysim/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "comfysim"]
