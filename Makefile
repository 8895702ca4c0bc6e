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
