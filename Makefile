# Two commands do everything on a fresh machine with Python >= 3.11: `make run` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LIST ?= sample_csvs/leads_us_240.csv

.PHONY: help run test lint bench chaos clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; name a newer one with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY) ## dial a sample list against the simulator
	@# 3: done, and some leads wait for a person; the sample has one on purpose.
	$(BIN)/campaigns run $(LIST) --simulate || test $$? -eq 3

test: $(READY) lint ## everything that must hold, in a few minutes
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not chaos and not bench"

lint: $(READY) ## style, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(READY) ## measure; one JSON line per figure
	$(BIN)/python -m tests.benchmarks

chaos: $(READY) ## long fault runs
	$(BIN)/python -m pytest -m chaos

clean: ## remove what make made
	rm -rf $(VENV) .campaigns .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
