# Two commands matter: `make run` and `make test`. Both do all the set-up themselves.
# Set-up is idempotent: each step leaves a stamp that depends on what it installs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# OpenStack Swift is the S3 store of the tests: a program of its own, whose libraries are not ours to pin.
SWIFT := .venv-swift
# Debian's own interpreter first: the GStreamer bindings of the simulator are built for it.
PYTHON := $(firstword $(wildcard /usr/bin/python3.11) python3.11)
# In the order of the folders: acceptance, with few and long tests a file, comes first. xdist's own order puts the
# files with the fewest tests last, and then one core waits for the longest of them.
PARALLEL := --dist loadfile --no-loadscope-reorder
# What records in real time mostly waits, and by itself: a recorder that gets no processor for a second loses sound,
# rightly, and fails a test that asks for all of it. $(1): which tests.
both = status=0; \
	$(BIN)/python -m pytest -m "live$(1)" -n 3 $(PARALLEL) || status=1; \
	$(BIN)/python -m pytest -m "not live$(1)" -n 3 $(PARALLEL) || status=1; \
	exit $$status
PORT ?= 8000
DATA ?= var/demo

.PHONY: help setup run test test-all check bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

setup: $(VENV)/.system $(VENV)/.wheels node_modules/.installed $(SWIFT)/.wheels ## system packages, virtual environment, wheels, front-end files

$(VENV)/.system: setup-system.sh
	bash setup-system.sh
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.wheels: $(VENV)/.system requirements-dev.lock pyproject.toml install-wheels.sh
	bash install-wheels.sh $(VENV) requirements-dev.lock
	touch $@

node_modules/.installed: $(VENV)/.system package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

$(SWIFT)/.wheels: $(VENV)/.system requirements-swift.lock
	[ -x $(SWIFT)/bin/python ] || $(PYTHON) -m venv $(SWIFT)
	$(SWIFT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-swift.lock
	touch $@

run: setup ## the product on embedded defaults: seven simulated rooms, agents, server, retention
	exec $(BIN)/protokol demo --port $(PORT) --data $(DATA)

check: setup ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## everything but what is too slow for 15 minutes
	$(call both, and not slow)

test-all: check ## soak, long faults, everything
	$(call both)

bench: setup ## side by side against peers; prints ratios
	$(BIN)/python -m bench capture --json
	$(BIN)/python -m bench demo --json
	$(BIN)/python -m bench sync --json
	$(BIN)/python -m bench faults --json
	$(BIN)/python -m bench ingest --json
	$(BIN)/python -m bench seal --json
	$(BIN)/python -m bench clip --json
# Longer, by themselves: kill (5 minutes), powercut (5, as root), cameras (3), partition (8, and 8 GB of disk),
# index (10, and 5 GB), purge (15, and 8 GB); `--rows 1000000` makes a tenth of the last two.

lock: $(VENV)/.wheels ## pins the whole dependency tree, with hashes and without index lines
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev pyproject.toml -c requirements.lock -o requirements-dev.lock
	echo 'swift>=2.38,<2.39' | $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate - -o requirements-swift.lock

clean: ## removes what set-up and runs have made
	rm -rf $(VENV) $(SWIFT) node_modules var .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
