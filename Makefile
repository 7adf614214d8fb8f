# Holdfast: every target sets up what it needs first, and can be run twice or interrupted. `make help` explains them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: install demo up test test-slow check check-static lint audit bench clean help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The name of the stamp holds the hash of the lock file: a changed lock is installed, an unchanged one costs nothing.
LOCK_HASH := $(shell sha256sum requirements.lock 2>/dev/null | cut -c1-16)
STAMP := $(VENV)/.holdfast-$(LOCK_HASH)
STATIC := static/staticfiles.json
STATIC_SOURCES := $(shell find experiments/static experiments/management/commands/build_static.py -type f 2>/dev/null)
TEMPLATES := $(shell find templates -name '*.html' 2>/dev/null)
# COVERAGE=1 measures coverage of the tests and holds it to the floors. Branches count.
COVERAGE ?=
# A process a core, and one thread for linear algebra in each: more of them slow each other down.
RUN_TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m $(if $(COVERAGE),coverage run -m) pytest -n auto --dist worksteal
ARGS ?=

define COVERAGE_FLOORS
$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --include 'analysis/*' --fail-under 95
	$(BIN)/python -m coverage report --include 'experiments/*' --fail-under 90
endef

help: ## explain every target (the default)
	@echo "Holdfast. Usage: make TARGET [ARGS=...]"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

install: $(STAMP) $(STATIC) ## set up .venv with the locked packages, and the static files; nothing else is changed

demo: install ## apply the examples, run their looks, print the scorecards, serve the pages (ARGS=--no-serve ends instead)
	@$(BIN)/python manage.py demo $(ARGS)

up: install ## run the web pages, a worker and the schedule on this machine until Ctrl-C (ARGS="--port 8001")
	@$(BIN)/python manage.py up $(ARGS)

test: install ## run the tests, less the slow ones (ARGS="-n 0 -k words"; COVERAGE=1 holds coverage to its floors)
	@rm -f .coverage .coverage.*
	$(RUN_TESTS) -m "not slow" $(ARGS)
	$(if $(COVERAGE),$(COVERAGE_FLOORS))

test-slow: install ## run all tests, with the long error-rate simulations
	$(RUN_TESTS) $(ARGS)

lint: install ## format, lint, types, import rules, missing migrations, templates
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive analysis experiments docker manage.py
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(if $(TEMPLATES),$(BIN)/djlint --quiet --lint templates,@echo "No templates yet.")

audit: install ## ask whether a locked package has a known vulnerability; fails if one has (needs the network)
	$(BIN)/python .ci/audit

check: lint audit ## lint, audit, then the tests with branch coverage (analysis 95 %, experiments 90 %)
	$(MAKE) test COVERAGE=1

bench: install ## measure speed and memory on a million units (ARGS as its --help says)
	$(BIN)/python -m tests.benchmarks.run $(ARGS)
	$(BIN)/python -m tests.benchmarks.survival
	$(BIN)/python -m tests.benchmarks.pages
	$(BIN)/python -m tests.benchmarks.events
	$(BIN)/python -m tests.benchmarks.flags

clean: ## stop Holdfast's own database and remove it with .venv, .holdfast, static and build (asks first; YES=1 does not)
	@if [ "$${YES:-}" != 1 ]; then \
	    read -r -p "Remove the database and all that was set up here (.venv .holdfast static build)? [y/N] " answer; \
	    [ "$$answer" = y ] || { echo "Nothing was removed."; exit 1; }; \
	fi
	@if [ -x $(BIN)/python ] && [ -e .holdfast ]; then env -u HOLDFAST_HOME $(BIN)/python -m experiments.embedded remove; fi
	rm -rf .venv .holdfast static build .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis

$(STAMP): requirements.lock
	@PYTHON="$(PYTHON)" bash .ci/install "$(VENV)" "$@"
	@touch $@

$(STATIC): $(STAMP) $(STATIC_SOURCES)
	@$(BIN)/python manage.py build_static
	@touch $@
