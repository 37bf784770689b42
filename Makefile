# Every target sets up what it needs: Python >= 3.11 is the only thing assumed (with git, make and python3-venv).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
WORKERS ?= 2

# Small dense solves on one thread each, and no spinning while waiting: two test processes share the cores.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help demo test validate lint bench docs wheel system clean

help:
	@echo "make demo      a phantom patient with a fractured L1, from CT to report (in demo/)"
	@echo "make test      everything: style, types, import rules, tests"
	@echo "make validate  the long validations, recorded in docs/validation.md"
	@echo "make bench     the benchmarks, written to docs/benchmarks.md"
	@echo "make docs      the documentation site, in site/; a warning is an error"
	@echo "make lint | wheel | clean"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Vertecast needs Python 3.11 or newer, this is %d.%d; install one and run make PYTHON=python3.12" % v[:2])'
	@$(MAKE) --no-print-directory system
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# As root on Debian or Ubuntu what is missing is installed; elsewhere the line to run is printed and the work goes on.
# libgomp1: numba's threads; libpango: the PDF; libegl1: 3-D pictures off screen; chromium: the report's own tests.
system:
	@missing=""; \
	has() { ldconfig -p 2>/dev/null | grep -q "$$1"; }; \
	has 'libgomp\.so\.1' || missing="$$missing libgomp1"; \
	has 'libpangoft2-1\.0\.so\.0' || missing="$$missing libpango-1.0-0 libpangoft2-1.0-0"; \
	has 'libEGL\.so\.1' || missing="$$missing libegl1 libgl1"; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
			|| echo "Could not install:$$missing; what needs them is skipped"; \
	else echo "Missing:$$missing; what needs them is skipped. Install with: sudo apt-get install$$missing"; fi

demo: $(STAMP)
	$(BIN)/vertecast demo --out demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

validate: $(STAMP)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	@# Not --quiet: mkdocs counts only the warnings that it shows, so that one would never be an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
