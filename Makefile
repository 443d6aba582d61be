# The one entry point for people. Every target installs what it needs first; a second run starts at once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo data unit test faults integrations fuzz check bench bench-all bench-drift bench-models format lock clean

# What Python has compiled, it keeps: otherwise each worker that a test or the demo starts compiles torch and Faust anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
INSTALLED := .venv/.installed
# Tests wait for Kafka more than they compute. Each process has its own broker and takes whole modules, slow ones first.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder
UV := $(BIN)/uv
# CUDA's packages: torch's default build on Linux brings its own, the CPU build needs none.
NOT_PINNED := $(addprefix --no-emit-package ,triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas \
	nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand \
	nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx)
# One version of each package for every Python, so that a figure or a type error is the same on all of them.
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest --no-annotate \
	--no-header $(NOT_PINNED)

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Everything into .venv, stream-app among it (the other targets do this by themselves)
	@echo "Installed: $(BIN)/stream-app --help"

demo: $(INSTALLED)  ## The whole story on an embedded Kafka: train, stream, drift, swap, roll back, verify
	@$(BIN)/stream-app demo

data: $(INSTALLED)  ## The Fraud Detection Handbook's transactions, for the tests of its figures and for benchmarks on them
	@$(BIN)/python -m benchmarks.handbook

unit: $(INSTALLED)  ## The tests that need no broker, quick ones, with few examples of each property: in a minute or so
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(SIDE_BY_SIDE) --hypothesis-profile quick -m "not slow and not faults" \
		tests/unit tests/contract

test: $(INSTALLED)  ## All tests, real Kafka among them, with coverage
	@$(BIN)/python -m pytest -n 3 $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

check: $(INSTALLED)  ## Format, lint, types, import rules, generated documents: what CI runs before the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_imports.py tests/unit/deploy tests/unit/docs tests/contract/test_documents.py

faults: $(INSTALLED)  ## Break everything that can break, for 35 to 50 minutes; a short part of it is in `make test`
	@$(BIN)/python -m pytest tests/faults -m "faults or not faults"

integrations: $(INSTALLED)  ## What other people's servers and tools do with what this writes
	@$(BIN)/python -m pytest tests/integrations -m integrations

fuzz: $(INSTALLED)  ## A million inputs through the decoder, guided by coverage; some minutes
	@$(BIN)/python -m tests.faults.fuzz_decode

bench: $(INSTALLED)  ## Throughput beside peers and the bare client, into build/bench/report.json
	@$(BIN)/python -m benchmarks.run

bench-all: bench  ## That, then latency, cost along every axis, and a flame graph: three quarters of an hour
	@$(BIN)/python -m benchmarks.latency
	@$(BIN)/python -m benchmarks.cost
	@$(BIN)/python -m benchmarks.flame

bench-drift: $(INSTALLED)  ## What drift is found, how soon, named how well; false alarms. Into build/drift/report.json
	@$(BIN)/python -m benchmarks.drift
	@$(BIN)/python -m benchmarks.drift_segments

bench-models: $(INSTALLED)  ## Quality and cost of the model beside other detectors. Into build/bench/models.json
	@$(BIN)/python -m benchmarks.models

format: $(INSTALLED)  ## Format the code, fix what the linter can, write the generated documents anew
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python -m schemas.documents
	@$(BIN)/python -m docs.settings_table

lock: $(INSTALLED)  ## Newest versions that pyproject.toml allows, into requirements*.txt
	@echo "Resolving requirements-dev.txt and requirements.txt"
	@$(COMPILE) --upgrade --extra embedded --extra registry --extra report --extra dev --output-file requirements-dev.txt
	@$(COMPILE) --upgrade --constraint requirements-dev.txt --output-file requirements.txt

clean:  ## Remove what was built and measured; .venv stays
	@rm -rf build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find schemas models stream_app tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml requirements-dev.txt deploy/install.sh
	@bash deploy/install.sh
	@touch $@
