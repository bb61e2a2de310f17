# What a person or CI asks of this repository. `make` alone lists the targets.

PYTHON ?= python3
# The trainer's tests need PyTorch; any build of this release will do, with or without a GPU.
TORCH ?= torch==2.13.0
KILLS ?= 200
# Processes that share the tests out, file by file.
WORKERS ?= 2
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test-setup test check format lint types contracts storm mutants population conformance reference bench bundle clean

help:  ## list the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.setup: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/.test: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet '$(TORCH)' --editable '.[train,postgres,redis,s3,test]'
	touch $@ .venv/.setup

setup: .venv/.setup  ## the daemon alone in .venv: .venv/bin/cxrd

demo: setup  ## daemon, stand-in PACS and sample films on this machine; findings in var/demo
	$(BIN)/cxrd demo

serve: setup  ## the same, kept running; prints the page's address
	$(BIN)/cxrd demo --keep

test-setup: .venv/.test

test: test-setup  ## every test (PostgreSQL, dcmtk and Orthanc are used where they are installed)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

format: test-setup
	$(BIN)/ruff format --check

lint: test-setup
	$(BIN)/ruff check

types: test-setup
	$(BIN)/mypy

contracts: test-setup
	$(BIN)/lint-imports

check: format lint types contracts test  ## what CI runs: format, lint, types, import contracts, tests

storm: test-setup  ## kill -9 storms over every role, on SQLite and PostgreSQL
	$(BIN)/python -m pytest tests/flow/test_storm.py --storm-kills $(KILLS) -s

mutants: test-setup  ## put faults into a copy of the engine; each must turn a test red
	PYTHONPATH=tests $(BIN)/python -m mutants

population: test-setup  ## every kind of object of every real header of ../shared/data, each judged by dciodvfy
	$(BIN)/python -m pytest tests/daemon/report/test_population.py --headers 0 -s

conformance: test-setup  ## rewrite docs/conformance.md from the default configuration
	$(BIN)/cxrd conformance --config config/cxrd.toml > docs/conformance.md

reference: test-setup  ## rewrite docs/reference/from the program
	mkdir -p docs/reference
	$(BIN)/cxrd reference cli > docs/reference/cli.md
	$(BIN)/cxrd reference configuration > docs/reference/configuration.md
	PYTHONPATH=tests $(BIN)/python -m support.reference > docs/reference/api.md

bench: test-setup  ## ratios against dcmtk, Orthanc and a bare torch loop, in one run
	PYTHONPATH=tests $(BIN)/python -m bench

bundle:  ## everything a host without internet needs, in dist/, with checksums and a bill of materials
	PYTHON=$(PYTHON) deploy/airgap/bundle.sh

clean:
	rm -rf .venv var dist build
