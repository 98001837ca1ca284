# Every command sets up what it needs. `make help` lists them.
# Another interpreter: make test PYTHON=python3.12. Your own texts: make demo DOCS=folder.

PYTHON ?=
DOCS ?=
DATA ?=
export PYTHON DOCS DATA
# Answers must not depend on the reader's own settings.
export PIP_DISABLE_PIP_VERSION_CHECK = 1
unexport PYTHONPATH PYTHONHOME

PY := .venv/bin/python
RUN := $(PY) -m
# Each core of the machine runs tests of its own.
WORKERS := -n logical --dist worksteal
# lint-imports has no `python -m` form, and a script's own first line breaks when a checkout moves.
# Its cache remembers what an import meant before a module was added or moved.
LINT_IMPORTS := .venv/bin/python -c 'from importlinter.cli import lint_imports_command as run; run()' --no-cache

# Any link that leads nowhere, and any name the reference does not find, is an error.
BUILD_DOCS := $(RUN) zensical build --strict --clean

.DEFAULT_GOAL := help
.PHONY: help test stress check demo docs notebooks screenshot format record e2e bench clean FORCE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: check ## run every check and every test
	$(RUN) pytest $(WORKERS)

stress: .venv/.stamp ## crash at every failpoint, in every way and order, and break every guard, at length (an hour)
	SEMCORE_TEST_STRESS=1 SEMCORE_TEST_DEMO_KILLS=40 SEMCORE_TEST_CROWD_SECONDS=60 \
		SEMCORE_TEST_MACHINE_EXAMPLES=3000 SEMCORE_TEST_MACHINES_CHUNKS=200000 \
		$(RUN) pytest $(WORKERS) tests/crash
	SEMCORE_TEST_POSTGRES_VERSION=16 $(RUN) pytest $(WORKERS) -m postgres
	$(PY) tests/mutations.py

check: .venv/.stamp ## run the checks that run no code: format, lint, types, imports, documentation
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(LINT_IMPORTS)
	$(BUILD_DOCS)

demo: .venv-demo/.stamp ## ingest, batch and search real text, without a key (DOCS=folder for your own)
	@.venv-demo/bin/semcore demo $(if $(DOCS),"$$DOCS")

docs: .venv/.stamp ## write the generated pages anew and build the documentation into site/
	$(PY) scripts/cli_reference.py
	$(PY) scripts/diagrams.py
	$(BUILD_DOCS)

notebooks: .venv/.stamp ## run the example notebooks, and keep what they show
	$(PY) scripts/notebooks.py

screenshot: .venv/.stamp ## take the pictures of the terminal and of a report anew (needs Chromium)
	$(PY) scripts/screenshot.py
	$(PY) scripts/report_picture.py

format: .venv/.stamp ## format the code and apply safe fixes
	$(RUN) ruff format
	$(RUN) ruff check --fix

record: .venv/.stamp ## record the HTTP cassettes anew: from Google if keys are set, else from the emulator
	$(RUN) pytest -m vcr --record-mode=rewrite --force-enable-socket

e2e: .venv/.stamp ## test a few texts against Google's real Batch API; needs keys, costs a few tokens
	$(RUN) pytest -m e2e --force-enable-socket

bench: .venv-bench/.stamp ## measure speed and quality beside the peers (DATA=folder)
	@set -e; for name in ingest search threads langchain_add llamaindex_add backfill pictures growth size beside quality peers pgvectorstores delivery; do \
		echo "== $$name"; .venv-bench/bin/python "benchmarks/$$name.py"; \
	done

clean: ## remove the environments, the demo's data and all caches
	rm -rf .venv .venv-demo .venv-bench .demo dist build site .cache
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find core llamaindex_semcore langchain_semcore tests -name __pycache__ -prune -exec rm -rf {} +

# --- environments ------------------------------------------------------------------------

# A stamp names the checkout and the PYTHON its environment was made for. For a moved checkout,
# or another PYTHON, it is made again: it would silently go on running the old code.
stale = $(if $(findstring |$(CURDIR)|$(if $(PYTHON),$(PYTHON)|),$(shell cat $(1)/.stamp 2>/dev/null)),,FORCE)

.venv/.stamp: pyproject.toml constraints.txt $(call stale,.venv)
	$(call set-up,.[dev])

.venv-demo/.stamp: pyproject.toml constraints.txt $(call stale,.venv-demo)
	$(call set-up,.[demo])

.venv-bench/.stamp: pyproject.toml constraints.txt benchmarks/requirements.txt $(call stale,.venv-bench)
	$(call set-up,.[documents$(comma)llama-index$(comma)langchain$(comma)postgres],-r benchmarks/requirements.txt)

comma := ,

CANDIDATES := $(if $(PYTHON),"$$PYTHON",python3 python3.13 python3.12 python3.11 python)
USABLE := import ensurepip, sqlite3, sys; sys.exit(sys.version_info < (3, 11))

# Only an environment that cannot serve is thrown away; a changed pin is installed over the old.
# What is never imported need not be compiled: that would be a third of the time.
define set-up
@set -eu; venv=$(@D); \
usable() { "$$1" -c '$(USABLE)' >/dev/null 2>&1; }; \
if { [ -e $@ ] && [ -n "$(filter FORCE,$^)" ]; } \
	|| ! usable $$venv/bin/python || ! $$venv/bin/python -m pip --version >/dev/null 2>&1; then \
	found=; \
	for candidate in $(CANDIDATES); do \
		if usable "$$candidate"; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "$(if $(PYTHON),PYTHON=$(PYTHON) is not,There is no) Python 3.11 or newer with venv and sqlite3." >&2; \
		echo "Install one (on Debian and Ubuntu with python3-venv), or name it: make PYTHON=..." >&2; \
		exit 1; \
	fi; \
	echo "Making $$venv with $$("$$found" --version); this takes a minute, once."; \
	"$$found" -m venv --clear $$venv; \
fi; \
$$venv/bin/python -m pip install -qq --no-compile -c constraints.txt -e '$(1)' $(2); \
printf '|%s|%s|\n' "$$(pwd -P)" "$$PYTHON" > $@
endef
