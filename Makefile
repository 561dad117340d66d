# make demo    set everything up and open the app on the practice cloud (headless where there is no terminal)
# make test    the tests
# make test-vllm  the tests with a real vLLM, for CPUs: some GB are installed at the first time
# make check   lint, types, import contracts, shellcheck, tests
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-vllm check lint format snapshots pictures bench clean

demo: .venv/installed
	@$(BIN)/llama-tui demo

test: .venv/installed-dev
	$(BIN)/pytest

test-vllm: .venv/installed-dev
	$(BIN)/pytest tests/vllm

check: lint test

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v shellcheck >/dev/null; then echo shellcheck assets/host/*.sh && shellcheck assets/host/*.sh; \
	else echo "shellcheck is missing: sudo apt-get install shellcheck (macOS: brew install shellcheck)"; exit 1; fi

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

snapshots: .venv/installed-dev
	$(BIN)/pytest tests/tui --snapshot-update

pictures: .venv/installed-dev
	$(BIN)/python -m tests.pictures

bench: .venv/installed-dev
	@for bench in tests/bench/bench_*.py; do echo "== $$bench" && $(BIN)/python $$bench; done

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "llama-tui needs Python 3.11 or newer: there is none on the PATH"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: sudo apt-get install -y python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
