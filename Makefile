# Both `make quickstart` and `make test` start from nothing but Python 3.11 or newer, and do all the set-up.
# Another Python: make test PYTHON=python3.12. Words for the command: make quickstart ARGS="--seed 1 --out try"

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BENCH ?= bench/mutants.py
WALK ?= quickstart
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
export PYTHONUNBUFFERED := 1

.PHONY: help quickstart test test-real check bench seeds controls torture docs
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.learn  ## the whole loop on the practice world, then its report (a few minutes, offline once installed)
	@$(BIN)/biddable quickstart $(ARGS)

test: check  ## everything that CI runs: the checks, then the whole test suite
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev  ## lint, format, types, layers (seconds)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyrefly check
	@$(BIN)/lint-imports

bench: $(VENV)/.dev  ## the tables of bench/, or one: BENCH=bench/NAME.py
	@for table in $(BENCH); do echo "== $$table"; $(BIN)/python "$$table" || exit 1; done

test-real: $(VENV)/.dev  ## the loop on SmolLM2 and real data (half an hour): BIDDABLE_REAL_DATA=FOLDER; not in CI
	@$(BIN)/python bench/real.py $(ARGS)

seeds: $(VENV)/.learn  ## five quickstarts and the tables of docs/results.md (half an hour); ARGS="--seeds 3"
	@$(BIN)/python bench/seeds.py $(ARGS)

controls: $(VENV)/.learn  ## PPO-ptx against a judge that learnt nothing: WALK=seeds/seed-0 (minutes)
	@$(BIN)/python bench/controls.py $(WALK)

torture: $(VENV)/.dev  ## kill training runs 200 times a stage and compare every byte (minutes); ARGS="--kills 1000"
	@$(BIN)/python tests/torture.py --kills 200 --terms 40 $(ARGS)

docs: $(VENV)/.dev  ## build the pages of docs/ into site/
	@$(BIN)/zensical build --clean

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; say which Python: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "make: biddable needs Python 3.11 or newer, and $(PYTHON) is %d.%d; say which Python: make PYTHON=python3.12" % v[:2])'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

# torch comes first and alone, so that nothing that needs it can bring another build of it along.
$(VENV)/.torch: $(VENV)/.python
	@echo "installing torch 2.13.0 (the largest part; once)"
	@$(PIP) torch==2.13.0
	@touch $@

$(VENV)/.learn: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing biddable and what its loop needs"
	@$(PIP) --editable '.[learn,report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing biddable and what its tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.learn
