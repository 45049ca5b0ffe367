# `make demo` and `make test` are all a fresh clone needs. The virtual environment is
# made on the first call, with PYTHON, in VENV, and again when its inputs change.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# pip up to 26.1 reads the first variable when it builds Chainer, from 25.3 the second.
PIP_INSTALL := PIP_CONSTRAINT=build-constraints.txt \
	PIP_BUILD_CONSTRAINT=build-constraints.txt $(BIN)/python -m pip install

.PHONY: demo test lint bench clean

demo: $(STAMP)
	MPLBACKEND=Agg $(BIN)/python examples/table/iris.py --out results/iris

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	set -e; for script in benchmarks/*.py; do $(BIN)/python "$$script"; done

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* results/iris
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find saliency link_hooks examples benchmarks tests -name __pycache__ \
		-type d -prune -exec rm -rf {} + 2>/dev/null || true

# $(call need,TEST,ELSE): one line on what is missing, instead of a traceback.
need = @$(1) >/dev/null 2>&1 || { echo "$(PYTHON) $(2)" >&2; exit 1; }

$(STAMP): setup.py requirements.txt build-constraints.txt pyproject.toml
	$(call need,command -v $(PYTHON),is missing. \
		On Debian or Ubuntu: apt-get install python3 python3-venv)
	$(call need,$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 9)',is older \
		than 3.9. With apt-get install python3.11-venv: make PYTHON=python3.11)
	$(call need,$(PYTHON) -c 'import ensurepip',can not make virtual environments. \
		On Debian or Ubuntu: apt-get install python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
