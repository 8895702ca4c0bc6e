# The one image of everything of ours that runs in a cluster: operator, agent and store sync.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# Only for a build behind a proxy that signs anew; neither they nor the file they name stay in the image.
ARG PIP_CERT
ARG SSL_CERT_FILE
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir "uv>=0.13,<0.14" "hatchling>=1.27,<2" \
 && python3 -m venv --without-pip /opt/comfyard
COPY pyproject.toml requirements.lock /src/
RUN /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/comfyard/bin/python \
    --constraint /src/requirements.lock --requirement /src/pyproject.toml

FROM dependencies AS project
COPY LICENSE README.md /src/
COPY operator /src/operator
RUN /opt/build/bin/uv build --quiet --wheel --no-build-isolation --python /opt/build/bin/python --out-dir /dist /src \
 && /opt/build/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/comfyard/bin/python \
    --no-deps --prefix /opt/project /dist/*.whl

FROM ${BASE}
COPY --from=dependencies /opt/comfyard /opt/comfyard
COPY --from=project /opt/project /opt/comfyard
ENV PATH=/opt/comfyard/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["comfyard"]
