# Everything a person types. `make` alone lists the targets.
#
# The virtual environment in .venv is made in three steps, each with a stamp, so that a second
# `make up` does nothing but start: the environment itself, the packages of requirements.lock
# (every one checked against its hash), and the Rust extension motte._core in release mode.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# Where `make up` keeps its deployment, and how long `make fuzz` runs in total.
DEPLOYMENT ?= deployment
FUZZ_SECONDS ?= 60
# How many random policies `make oracle` tries.
POLICIES ?= 500
# How often `make crash` kills a broker under load.
CRASHES ?= 100

# The interpreter that PyO3 asks for its configuration: always ours, or a change of shell rebuilds it.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Another environment that happens to be active in the shell is none of ours.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# A start that compiles all of Motte anew is not the one that people have.
unexport PYTHONDONTWRITEBYTECODE
unexport CONDA_PREFIX PYTHONPATH PYTHONHOME

EXTENSION_SOURCES := Cargo.toml Cargo.lock pyproject.toml \
	$(wildcard crates/*/Cargo.toml crates/*/build.rs) \
	$(shell find crates/*/src benches/load/src -name '*.rs' 2>/dev/null)

.PHONY: help up demo build test lint oracle crash format limits bench fuzz advisories lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/.extension ## build what is needed, then run Motte (Ctrl-C stops it)
	@exec $(BIN)/motte up --directory $(DEPLOYMENT)

demo: $(VENV)/.extension ## the stolen-certificate drill, in about a minute
	@exec $(BIN)/motte demo

build: $(VENV)/.extension ## the virtual environment with the extension, ready to use
	@echo 'ready: $(BIN)/motte --help'

test: $(VENV)/.extension ## every test and every lint; ends in `N passed, N failed`
	@scripts/system-packages test
	@exec $(BIN)/python scripts/check.py all

lint: $(VENV)/.extension ## formatting, clippy, ruff, mypy, import direction, stubs, licences
	@scripts/system-packages lint
	@exec $(BIN)/python scripts/check.py lint

oracle: $(VENV)/.extension ## the blast radius of POLICIES=500 random policies against Z3 and the running broker
	@MOTTE_RADIUS_POLICIES=$(POLICIES) $(BIN)/pytest -q tests/policy/radius/test_z3.py \
		tests/policy/radius/test_running_broker.py

crash: $(VENV)/.extension ## kill -9 under load, CRASHES=100 times, and a checker of what came of it
	@MOTTE_CRASHES=$(CRASHES) $(BIN)/pytest -q tests/faults/test_crash.py

limits: $(VENV)/.dependencies ## write docs/limits.md from the constants in the code
	$(BIN)/python scripts/limits.py

format: $(VENV)/.dependencies ## format Rust and Python
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

bench: $(VENV)/.extension ## Motte beside other brokers in one run, ratios printed
	@scripts/system-packages bench
	@exec $(BIN)/python -m benches.compare $(BENCH_OPTIONS)

fuzz: $(VENV)/.dependencies ## smoke run of every fuzz target, FUZZ_SECONDS=60 in total
	@scripts/system-packages fuzz
	@exec $(BIN)/python scripts/fuzz.py --seconds $(FUZZ_SECONDS)

advisories: $(VENV)/.dependencies ## known vulnerabilities in dependencies (needs github.com and pypi.org)
	@exec $(BIN)/python scripts/advisories.py

lock: $(VENV)/.created ## resolve requirements.lock and scripts/uv.lock anew
	$(BIN)/uv pip compile pyproject.toml --extra dev $(COMPILE_OPTIONS) --output-file requirements.lock
	echo 'uv' | $(BIN)/uv pip compile - --no-annotate $(COMPILE_OPTIONS) --output-file scripts/uv.lock

COMPILE_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links

clean: ## remove everything that a build makes; a deployment stays
	rm -rf target fuzz/target $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -f src/motte/_core*.so
	find src tests scripts benches -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created: scripts/uv.lock
	@scripts/system-packages build
	@echo '[1/3] virtual environment in $(VENV)'
	@python3 -m venv $(VENV)
	@$(BIN)/pip install --quiet --require-hashes -r scripts/uv.lock
	@touch $@

$(VENV)/.dependencies: requirements.lock $(VENV)/.created
	@echo '[2/3] Python packages, each checked against its hash'
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@touch $@

$(VENV)/.extension: $(EXTENSION_SOURCES) $(VENV)/.dependencies
	@scripts/system-packages build
	@echo '[3/3] motte._core in release mode; the first build takes some minutes'
	@$(BIN)/maturin develop --release --locked --uv
	@touch $@
