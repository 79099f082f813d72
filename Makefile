# `make demo` and `make test` need Python 3.11 to 3.13 and nothing else: each makes the virtual
# environment, installs what it needs into it, and runs.

PYTHON ?= python3
VENV ?= .venv
BUDGET ?= 5min
OUT ?= runs/demo
ARGS ?=

BIN = $(VENV)/bin
# Stamps, so that nothing is installed twice; a change of pyproject.toml installs again.
PLAIN = $(VENV)/.unmingle-plain
DEV = $(VENV)/.unmingle-dev

.DEFAULT_GOAL := help
.PHONY: help demo test lint types format clean

help:
	@echo "make demo    train on embedded data, $(BUDGET) on two cores: a picture and a table (BUDGET=30s OUT=runs/demo)"
	@echo "make test    run the tests (ARGS='-k name' goes to pytest)"
	@echo "make lint    ruff: rules and format        make types    mypy        make format    ruff: rewrite"
	@echo "make clean   remove $(VENV) and the caches, but no run folder"

demo: $(PLAIN)
	$(BIN)/unmingle demo --budget $(BUDGET) --out $(OUT)

test: $(DEV)
	$(BIN)/python -m pytest $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV)
	$(BIN)/mypy

# Says whether the environment was made here ("made"), so that `clean` removes no other.
MARK = $(VENV)/.unmingle-venv

$(MARK):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  "unmingle needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d: name another one, as in make demo PYTHON=python3.12" % v)'
	@if [ -e "$(VENV)" ] && [ ! -x "$(BIN)/python" ]; then \
	  echo "$(VENV) exists and is no virtual environment: name another one, as in make test VENV=.venv-unmingle" >&2; exit 1; fi
	@if [ -x "$(BIN)/python" ]; then echo found > $@; \
	elif $(PYTHON) -m venv "$(VENV)"; then echo made > $@; \
	else rm -rf "$(VENV)"; \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it is the package python3-venv" >&2; exit 1; fi

$(PLAIN): pyproject.toml $(MARK)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): pyproject.toml $(MARK)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(PLAIN) $@

clean:
	@if grep -qs made "$(MARK)"; then rm -rf "$(VENV)"; \
	elif [ -e "$(VENV)" ]; then echo "$(VENV) was not made here and stays"; fi
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
