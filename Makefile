# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need in .venv by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
LINT_STAMP := $(VENV)/.lint-ready

# Engines and relays are started by the hundred: compiled once, they start four times as fast.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . pytest pytest-xdist hypothesis
	touch $@

$(LINT_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ruff pyright import-linter
	touch $@

demo: $(STAMP)  ## a real MCP client, a real graph, a kill -9 in the middle
	$(BIN)/mcp-scheduler demo

test: $(STAMP)  ## every test, in two processes; under ten minutes on two cores (JOBS=2 ARGS="tests/core -q")
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

lint: $(LINT_STAMP)  ## ruff, pyright (strict), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(LINT_STAMP)  ## put the code into its form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

EXTRAS := .venv-extras
$(EXTRAS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(EXTRAS)
	$(EXTRAS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ml,drift,pareto]' pytest hypothesis
	touch $@

test-extras: $(EXTRAS)/.ready  ## the tests that need scikit-learn, river and pymoo
	$(EXTRAS)/bin/python -m pytest tests/extras $(ARGS)

BENCH := .venv-bench
$(BENCH)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check huey distributed
	touch $@

bench: $(BENCH)/.ready  ## ours beside its peers, in one run (ARGS="--rounds 3 --count 10000")
	$(BENCH)/bin/python benchmarks/run.py $(ARGS)

bench-shapes: $(BENCH)/.ready  ## a graph and sleeps beside peers (ARGS="--rounds 5")
	$(BENCH)/bin/python benchmarks/shapes.py $(ARGS)

bench-mission: $(BENCH)/.ready  ## reads beside writes; 10, 50 and 500 MCP clients at once
	$(BENCH)/bin/python benchmarks/mission.py mixes $(ARGS)
	$(BENCH)/bin/python benchmarks/mission.py clients $(ARGS)

bench-million: $(STAMP)  ## a million queued tasks in 1,000 shapes: rate, memory, restart (ARGS="--count 100000")
	$(BIN)/python benchmarks/million.py $(ARGS)

profile: $(STAMP)  ## where the time of one task goes, stage by stage: of many, and of one (ARGS="--count 1000")
	$(BIN)/python benchmarks/profile.py $(ARGS)
	$(BIN)/python benchmarks/trip.py

bench-starts: $(STAMP)  ## engine start, first answer, idle CPU (ARGS="--rounds 5 --seconds 10")
	$(BIN)/python benchmarks/starts.py $(ARGS)

crash-campaign: $(STAMP)  ## kill -9 of everything while clients work (N=1000 SEED=1)
	$(BIN)/python -m campaigns.crash --kills $(or $(N),100) --seed $(or $(SEED),1) $(ARGS)

power-loss: $(STAMP)  ## cut the power at many moments of a recorded run (POINTS=300 SEED=1)
	$(BIN)/python -m campaigns.power --points $(or $(POINTS),300) --seed $(or $(SEED),1) $(ARGS)

syscall-campaign: $(STAMP)  ## kill, EIO and ENOSPC at every n-th write, fsync, rename, unlink (EVERY=1 SEED=1)
	$(BIN)/python -m campaigns.syscalls --every $(or $(EVERY),1) --seed $(or $(SEED),1) $(ARGS)

trouble-campaign: $(STAMP)  ## full disk, clock jumps, no descriptors, no processes, damaged databases (DAMAGED=200 SEED=1)
	$(BIN)/python -m campaigns.trouble --damaged $(or $(DAMAGED),200) --seed $(or $(SEED),1) $(ARGS)

client-campaign: $(STAMP)  ## frozen processes, clients that come and go, cancelled requests (N=10000 SEED=1)
	$(BIN)/python -m campaigns.clients --cancels $(or $(N),10000) --seed $(or $(SEED),1) $(ARGS)

fuzz: $(STAMP)  ## made-up and mutated calls and frames, both eras, socket and HTTP (N=100000 SEED=1)
	$(BIN)/python -m campaigns.fuzz --calls $(or $(N),100000) --seed $(or $(SEED),1) $(ARGS)

torture: $(STAMP)  ## what does not want to end is ended whole (N=100 of each kind)
	$(BIN)/python -m campaigns.torture --each $(or $(N),100) --seed $(or $(SEED),1) $(ARGS)

adoption-campaign: $(STAMP)  ## kill -9 of the engine with twenty commands and functions under way (N=100)
	$(BIN)/python -m campaigns.adoption --kills $(or $(N),100) --seed $(or $(SEED),1) $(ARGS)

OUTSIDERS := .venv-outsiders
$(OUTSIDERS)/.ready:
	$(PYTHON) -m venv $(OUTSIDERS)
	$(OUTSIDERS)/bin/python -m pip install --quiet --disable-pip-version-check mcp-fuzzer mcp-runtime-check
	touch $@

outsiders: $(STAMP) $(OUTSIDERS)/.ready  ## what the fuzzers of others say (RUNS=100)
	$(BIN)/python -m campaigns.outsiders $(OUTSIDERS)/bin --runs $(or $(RUNS),100) $(ARGS)

soak: $(STAMP)  ## a steady load for a while (MINUTES=30 RATE=20)
	$(BIN)/python -m campaigns.soak --minutes $(or $(MINUTES),30) --rate $(or $(RATE),20) $(ARGS)

simulate-campaign: $(STAMP)  ## the state machine of the heart, for long (ARGS="--steps 1000000 --seed 1")
	$(BIN)/python -m tests.simulation.campaign $(ARGS)

published: $(STAMP)  ## the tables of the literature beside ours (ARGS="--data DIR --only lublin,psplib,openb")
	$(BIN)/python -m campaigns.published $(ARGS)

gpu-check: $(STAMP)  ## what the scheduler sees of a real GPU while memory is taken on it
	$(BIN)/python -m mcp_scheduler.telemetry.gpu_check $(ARGS)

docs: $(STAMP)  ## write the reference pages anew from the code
	$(BIN)/python docs/reference/generate.py

dist: $(STAMP)  ## wheel and sdist in dist/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist .

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(BENCH) $(OUTSIDERS) $(EXTRAS) build dist .hypothesis .ruff_cache
