# make demo: watch a stuck query being found, ended and written up, in under a minute.
# make test: everything that needs no installed servers. All targets install what they need into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# The Debian packages of the real parts.
PARTS := prometheus prometheus-alertmanager prometheus-postgres-exporter postgresql pgbouncer
# And Go, for the program that asks Alertmanager's own parser, where there is none.
PARTS += $(if $(shell PATH="$$PATH:/usr/local/go/bin" command -v go),,golang)
bench: PARTS := wrk
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help install demo run test test-real promises crash chaos mutants bench bench-rules bench-backtest lint parts constraints clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

install: $(STAMP) ## .venv with the pinned packages (Python 3.11 or newer; PYTHON=... chooses one)

# pip compares every hash of constraints.txt; the package itself is built with the setuptools pinned there.
$(STAMP): constraints.txt pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	  for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    "$$python" -c "$$usable" >/dev/null 2>&1 && break || python=; \
	  done; \
	  [ -n "$$python" ] || { echo 'no Python 3.11 or newer with venv was found (Debian: apt-get install python3 python3-venv); name one with PYTHON=...' >&2; exit 1; }; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	$(PIP) install --quiet --require-hashes -r constraints.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## an alert comes in, a real query is ended, the review is printed
	$(BIN)/responder demo

run: install ## keep a service up in shadow, with a database of its own; prints its address and token
	$(BIN)/responder up

test: lint ## lint, types, and every test that needs no installed servers
	$(BIN)/pytest -n 4

test-real: install parts ## the tests against Debian's Prometheus, Alertmanager, exporter and PostgreSQL (and Go)
	$(BIN)/pytest -m real

promises: install ## each promise of docs/safety.md: its test, held or not (SABOTAGE=1: each line removed must be found)
	$(BIN)/python -m tests.promises $(if $(SABOTAGE),--sabotage)

crash: install ## kill the service at every point between delivery and outcome, 20 times each (TIMES=...)
	$(BIN)/python -m tests.crash --times $(or $(TIMES),20)

chaos: install ## three replicas under kills, pauses, cuts, restarts and a moved clock (SECONDS=600, SEED=... repeats one)
	$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

mutants: install ## change what decides, the ledger and intake in one place after the other; a test must notice (MINUTES=20: a sample)
	nice -n 10 $(BIN)/python -m tests.mutants $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

bench: install parts ## intake and the way to an action's start, as ratios to this machine's ceiling (needs wrk)
	$(BIN)/python -m benchmarks

bench-rules: install ## what 10,000 rules cost at loading, at matching and in the durable intake, as ratios
	$(BIN)/python -m benchmarks.rules

bench-backtest: install ## a backtest of a million rows beside a bare read of them, and what memory it takes (ROWS=...)
	$(BIN)/python -m benchmarks.backtest --rows $(or $(ROWS),1000000)

lint: install ## ruff, formatting, mypy, the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

parts: ## install the Debian packages that test-real needs, where one is missing (root or sudo)
	@missing=(); \
	for part in $(PARTS); do \
	  dpkg-query -W -f='$${Status}' "$$part" 2>/dev/null | grep -q 'ok installed' || missing+=("$$part"); \
	done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
	  echo "installing $${missing[*]}"; \
	  $(SUDO) apt-get update -q; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; \
	fi

constraints: ## pin anew what pyproject.toml asks for (needs uv on the path)
	grep '^#' constraints.txt > constraints.txt.new
	echo 'setuptools>=77' | uv pip compile --quiet --upgrade --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  pyproject.toml - >> constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## remove .venv and what the tools left behind
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
