# Every target sets up what it needs; Python 3.11 or newer is all that must be there.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# The requirements files are complete. Without --no-deps, pip looks for a package's extras anew, and stops at a release
# that came out after the files were made, for want of a hash.
LOCKED := install --require-hashes --no-deps -r
TESTS ?= tests
# One more than processors: a seventh of the time, a test waits for a server or a process that it started.
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 1)))
# Set to anything to measure branch coverage, as CI does; it takes a third longer.
COVERAGE ?=
# Set to anything for the whole of `make ordeal`.
ALL ?=
# Options of the benchmark: see tests/benchmarks/__main__.py.
BENCH ?= --write

# Tests start hundreds of processes: each would compile the package, and each worker all tests, in every run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test ordeal pythons newest lint format bench docs site record package audit lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed, and none was found." >&2; exit 1; }
	@echo "Making a virtual environment with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: .ci/requirements-run.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the command needs (once, about a minute) ..."
	@$(PIP) $(LOCKED) .ci/requirements-run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: .ci/requirements-test.txt $(VENV)/.run
	@echo "Installing what the tests need (once) ..."
	@$(PIP) $(LOCKED) .ci/requirements-test.txt
	@touch $@

# Other versions of the client libraries, one folder each; without a registry the test of them is skipped.
$(VENV)/.clients: $(wildcard .ci/clients/*.txt) $(VENV)/.test
	@echo "Installing further versions of the client libraries for one test (once) ..."
	@complete=yes; for file in .ci/clients/*.txt; do \
		target=$(VENV)/clients/$$(basename $$file .txt); test -d $$target && continue; rm -rf $$target.new; \
		$(PIP) install --retries 1 --require-hashes --only-binary :all: --no-deps --no-compile --target $$target.new -r $$file \
			&& mv $$target.new $$target || complete=no; \
	done; if test $$complete = yes; then touch $@; else echo "Not all could be had: their test is skipped." >&2; fi

# The site's generator has an environment of its own: neither the program nor its tests depend on it.
$(VENV)/.docs: .ci/requirements-docs.txt | $(BIN)/python
	@echo "Installing the site's generator (once) ..."
	@rm -rf $(VENV)/docs && $(BIN)/python -m venv $(VENV)/docs
	@$(VENV)/docs/bin/python -m pip --disable-pip-version-check -q $(LOCKED) .ci/requirements-docs.txt
	@touch $@

# So do the tools that check a release.
$(VENV)/.package: .ci/requirements-package.txt | $(BIN)/python
	@echo "Installing the tools that check a release (once) ..."
	@rm -rf $(VENV)/package && $(BIN)/python -m venv $(VENV)/package
	@$(VENV)/package/bin/python -m pip --disable-pip-version-check -q $(LOCKED) .ci/requirements-package.txt
	@touch $@

demo: $(VENV)/.run ## Show the life of a connection on an embedded tenant and authentik, offline
	@$(BIN)/authentik-entra demo

test: $(VENV)/.test ## Run all tests (TESTS=path for some)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(COVERAGE),--cov --cov-report=term:skip-covered) $(TESTS)

ordeal: $(VENV)/.test $(VENV)/.clients ## Run the searches, kills and client versions that take minutes (ALL=yes: everything at every request, an hour)
	@$(if $(ALL),TEST_ALL_FAULTS=1) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(if $(ALL),-m "ordeal or not ordeal" \
		tests/end_to_end/test_faults.py tests/end_to_end/test_interruption.py tests/end_to_end/test_two_runs.py \
		tests/end_to_end/test_workers.py tests/end_to_end/test_long_life.py tests/protocol,-m ordeal tests)

pythons: ## Run unit tests, protocol and a bootstrap on the other Pythons of this machine
	@.ci/pythons

newest: package ## Install the wheel with the newest versions of everything it needs, and run the demo
	@rm -rf $(VENV)/newest && $(BIN)/python -m venv $(VENV)/newest
	@$(VENV)/newest/bin/python -m pip --disable-pip-version-check -q install "$$(ls dist/*.whl)[sandbox]"
	@$(VENV)/newest/bin/authentik-entra demo

lint: $(VENV)/.test ## Formatter check, linter, type checker, import contract, prose
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/prose_check.py

format: $(VENV)/.test ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.test ## Measure start-up, round trips, memory; write docs/explanation/performance.md
	@$(BIN)/python -m tests.benchmarks $(BENCH)

docs: $(VENV)/.run ## Make the picture, the generated reference and the site anew
	@$(BIN)/authentik-entra demo --svg docs/demo.svg
	@$(BIN)/python docs/generate.py
	@$(MAKE) --no-print-directory site

site: $(VENV)/.docs ## Make the site from the pages as they are, into site/
	@$(BIN)/python docs/site_sources.py $(VENV)/docs/sources
	@rm -rf site && $(VENV)/docs/bin/sphinx-build -q -n -W --keep-going -E -d $(VENV)/docs/doctrees -c docs $(VENV)/docs/sources site
	@echo "site/index.html"

package: $(VENV)/.run $(VENV)/.package ## Build and check the wheel and the source archive, in dist/
	@rm -rf dist && $(BIN)/python -m hatchling build
	@$(VENV)/package/bin/twine check --strict dist/*
	@$(VENV)/package/bin/check-wheel-contents dist/*.whl

audit: $(VENV)/.package ## Write the list of components (CycloneDX) to dist/, and look for known vulnerabilities among them
	@mkdir -p dist && $(VENV)/package/bin/cyclonedx-py requirements .ci/requirements-run.txt --output-reproducible -o dist/components.cdx.json
	@$(VENV)/package/bin/pip-audit --disable-pip --require-hashes -r .ci/requirements-run.txt

record: $(VENV)/.test ## Record tests/cassettes anew, against the sandbox or a real tenant
	@PYTHONPATH=.:tests/doubles $(BIN)/python tests/replay/cassette_record.py

lock: ## Resolve the pinned requirements anew
	@$(PIP) install uv
	@$(BIN)/uv pip compile -q pyproject.toml --extra sandbox --group build --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --upgrade -o .ci/requirements-run.txt
	@$(BIN)/uv pip compile -q pyproject.toml --all-extras --group build --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --upgrade -o .ci/requirements-test.txt
	@$(BIN)/uv pip compile -q --group docs --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --upgrade -o .ci/requirements-docs.txt
	@$(BIN)/uv pip compile -q --group package --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --upgrade -o .ci/requirements-package.txt

clean: ## Remove the virtual environment, the site and caches
	@rm -rf $(VENV) .venv-3.* site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
