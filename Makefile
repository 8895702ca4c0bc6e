# Everything runs from the virtual environment that requirements.lock describes; it is made anew when the lock changes.
SHELL := /bin/bash
VENV  := .venv
PY    := $(VENV)/bin/python

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.stamp: requirements.lock pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet "uv>=0.13,<0.14"
	$(VENV)/bin/uv pip sync --quiet --python $(PY) --require-hashes requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/.stamp ## the virtual environment

.PHONY: lock
lock: ## requirements.lock from pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra sim --group dev pyproject.toml -o requirements.lock

.PHONY: lint
lint: venv ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: crds
crds: venv ## crds/ and the chart's copy, from the models in operator/comfyard/api
	$(PY) -m comfyard.api.crds crds
	$(PY) -m comfyard.api.crds charts/comfyard/files/crds

.PHONY: manifests
manifests: crds ## manifests/install.yaml, from the chart
	$(PY) -m hack.manifests manifests/install.yaml

.PHONY: demo
demo: cluster images ## a cluster, Comfyard in it, two pictures in demo-output/
	@$(PY) -m hack.demo

.PHONY: test
test: lint cluster images ## everything: checks, unit tests, API server, cluster
	@mkdir -p build
	@# Most tests wait for other programs most of the time, so three processes share the processors. Not more: one release
	@# serves all tests of the cluster.
	@$(VENV)/bin/pytest tests/e2e > build/e2e.log 2>&1 & cluster=$$!; \
	$(VENV)/bin/pytest tests/api > build/api.log 2>&1 & api=$$!; \
	$(VENV)/bin/pytest tests/unit; failed=$$?; \
	wait $$api || failed=$$?; cat build/api.log; \
	wait $$cluster || failed=$$?; cat build/e2e.log; \
	exit $$failed

.PHONY: bench
bench: cluster images ## what design and docs promise, measured
	@$(PY) -m hack.bench

.PHONY: bench-store
bench-store: venv ## downloads of models against curl, aria2 and huggingface_hub
	@unshare --net $(PY) -m hack.bench.store

# KUBE_CONTEXT=name IMAGE_REGISTRY=host/path: in a cluster of yours. CLUSTER=kind: in Docker. See docs/cluster.md.
export KUBE_CONTEXT IMAGE_REGISTRY CLUSTER GPUS

.PHONY: cluster
cluster: venv ## a Kubernetes on this machine, with pretended GPUs
	@$(PY) -m hack.cluster up

.PHONY: cluster-status
cluster-status: venv ## how each part of the cluster is
	@$(PY) -m hack.cluster status

.PHONY: cluster-down
cluster-down: venv ## take the cluster away, with all it has left
	@$(PY) -m hack.cluster down

.PHONY: images
images: venv ## build the images and load them into the cluster
	@$(PY) -m hack.cluster images
