# Both `make quickstart` and `make test` start from nothing but Python 3.11 or newer, and do all the set-up.
# Another Python: make test PYTHON=python3.12. Words for the command: make quickstart ARGS="--seed 1 --out try"

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WALK ?= quickstart
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
export PYTHONUNBUFFERED := 1

.PHONY: help quickstart paper test test-real check bench bench-growth bench-gpu bench-label bench-inp bench-evals mutants seeds controls torture torture-label docs
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.learn  ## the whole loop on the practice world, then its report (a few minutes, offline once installed)
	@$(BIN)/biddable quickstart $(ARGS)

paper: $(VENV)/.learn  ## the paper's figures on the practice world, each beside its own (an hour; ARGS="--fast": a quarter)
	@$(BIN)/biddable paper $(ARGS)

test: check $(VENV)/.browser  ## everything that CI runs: the checks, then the whole test suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev  ## lint, format, types, layers (seconds)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyrefly check
	@$(BIN)/lint-imports

bench: $(VENV)/.dev .bench/trl/.made .bench/trl-ppo/.made  ## speed side by side with TRL (hours; ARGS="--quick" is a look)
	@$(BIN)/python bench/run.py $(ARGS)

bench-growth: $(VENV)/.dev  ## how cost grows with K, length, batch and vocabulary, beside the machine's floor
	@$(BIN)/python bench/growth.py $(ARGS)

bench-gpu: $(VENV)/.dev  ## a model of 1B parameters in bfloat16 on a CUDA machine: tokens a second, share of its peak
	@$(BIN)/python bench/gpu.py $(ARGS)

bench-label: $(VENV)/.dev  ## the labeling server at size: a million prompts, 100,000 tasks (ten minutes); ARGS="--prompts 50000"
	@$(BIN)/python bench/label.py $(ARGS)

bench-inp: $(VENV)/.dev  ## how soon the ranking board answers a key or a click, in Chromium (a minute); ARGS="--cpu 4"
	@$(BIN)/python bench/inp.py $(ARGS)

mutants: $(VENV)/.dev  ## does a test fail when an equation is wrong? (minutes; ARGS="reward 50" is a look)
	@$(BIN)/python bench/mutants.py $(ARGS)

test-real: $(VENV)/.dev  ## the loop on SmolLM2 and real data (half an hour): BIDDABLE_REAL_DATA=FOLDER; not in CI
	@$(BIN)/python bench/real.py $(ARGS)

bench-evals: $(VENV)/.dev  ## public benchmarks on SmolLM2 (half an hour): BIDDABLE_REAL_DATA=FOLDER; ARGS="--limit 20"
	@$(BIN)/python bench/evals.py $(ARGS)

seeds: $(VENV)/.learn  ## ten quickstarts and the tables of docs/results.md (an hour or more); ARGS="--seeds 3"
	@$(BIN)/python bench/seeds.py $(ARGS)

controls: $(VENV)/.learn  ## PPO-ptx against a judge that learnt nothing: WALK=seeds/seed-0 (minutes)
	@$(BIN)/python bench/controls.py $(WALK)

torture: $(VENV)/.dev  ## kill training runs 200 times a stage and more, compare every byte (half an hour); ARGS="--kills 1000"
	@$(BIN)/python tests/torture.py --kills 200 --terms 40 --others 20 $(ARGS)

torture-label: $(VENV)/.dev  ## 64 labelers, 100,000 submissions, 50 kills of the server (half an hour); ARGS="--submits 5000"
	@$(BIN)/python tests/label/siege.py --submits 100000 --kills 50 $(ARGS)
	@$(BIN)/python tests/store/mutations.py --count 10000
	@$(BIN)/python tests/store/powercut.py --cuts 10000

docs: $(VENV)/.dev  ## build the pages of docs/ into site/
	@$(BIN)/zensical build --clean

# The tests of pages use a real browser: one that is there, or Debian's package.
$(VENV)/.browser: $(VENV)/.dev
	@test -n "$$BIDDABLE_CHROMIUM" || command -v chromium chromium-browser google-chrome >/dev/null || { \
		echo "installing chromium, for the tests of pages"; \
		root=; test "$$(id -u)" = 0 || root=sudo; \
		$$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	} || { echo "make: no browser; install chromium, or name one: BIDDABLE_CHROMIUM=PATH make test" >&2; exit 2; }
	@touch $@

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; say which Python: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "make: biddable needs Python 3.11 or newer, and $(PYTHON) is %d.%d; say which Python: make PYTHON=python3.12" % v[:2])'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

# torch comes first and alone, so that nothing that needs it can bring another build of it along.
$(VENV)/.torch: $(VENV)/.python
	@echo "installing torch 2.13.0 (the largest part, a minute or so; once)"
	@$(PIP) torch==2.13.0
	@touch $@

$(VENV)/.learn: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing biddable and what its loop needs (half a minute or so)"
	@$(PIP) --editable '.[learn,report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing biddable and what its tests need (a minute or so)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.learn

# The peer, the newest there is, with the versions of torch and transformers that we are measured with.
.bench/trl/.made: PEER := trl
# PPO: the last version that has it.
.bench/trl-ppo/.made: PEER := trl==1.12.0
.bench/%/.made: constraints.txt
	@echo "installing $(PEER) in .bench/$* (once)"
	@$(PYTHON) -m venv .bench/$*
	@.bench/$*/bin/python -m pip install -qq --disable-pip-version-check torch==2.13.0
	@grep -v '^trl==' constraints.txt > .bench/$*/constraints.txt
	@.bench/$*/bin/python -m pip install -qq --disable-pip-version-check --constraint .bench/$*/constraints.txt $(PEER)
	@touch $@
