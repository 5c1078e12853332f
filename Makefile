# Every target sets up what it needs: a virtual environment in .venv, with the versions of constraints.txt.
#   make quickstart                    the idea in a minute, on real digits
#   make test                          the fast tests
# TORCH_INDEX=URL takes torch from another index, for example a CPU-only one.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
SLOW ?= slow

.DEFAULT_GOAL := help
.PHONY: help quickstart test slow check format bench peers

help:            ## show this
	@sed -n 's/^\([a-z]*\):.*## /\1  /p' $(MAKEFILE_LIST) | awk '{ printf "%-12s", $$1; $$1 = ""; print }'

quickstart: $(READY)  ## train, attack and judge SCE and MMC on digits; writes quickstart/report.html
	$(BIN)/mmc quickstart

test: $(READY)   ## the fast tests
	$(PYTEST)

slow: $(READY)   ## the slow tests; SLOW="slow and not long" leaves out the longest, as CI does
	$(PYTEST) -m "$(SLOW)"

check: $(READY)  ## format, lint, fast tests, examples
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(PYTEST)
	$(BIN)/python -m pytest -n 2 -m examples

format: $(READY) ## rewrite the code in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers: $(PEERS)  ## judge our attacks beside other libraries
	$(BIN)/python -m pytest -m peers

bench: $(PEERS)  ## our speed beside peers and beside the bare loop
	$(BIN)/python benchmarks/attack_speed.py
	$(BIN)/python benchmarks/suite_speed.py
	$(BIN)/python benchmarks/head_speed.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/centers_speed.py

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) -e '.[dev]'
	touch $@

$(PEERS): $(READY)
	$(PIP) -e '.[dev,peers]'
	$(PIP) --no-deps torchattacks==3.5.1
	touch $@
