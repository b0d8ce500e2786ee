# mmpr: `make build-mmpr` builds a dataset, `make test` tests everything, `make help` lists the rest.

PIPELINE ?= pipelines/quickstart.yaml
EXTRA    ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
PYTHON   ?= $(or $(shell for p in python3.11 python3.12 python3.13; do $$p -c "" 2>/dev/null && echo $$p && break; done),python3)
VENV     ?= .venv
OUT      ?=
DATA     ?= builds/quickstart
TRAINING ?= pipelines/train/quickstart.yaml
MODEL    ?= data/demo_model
RUN      ?= runs/$(notdir $(DATA))
ARGS     ?=

PY       := $(VENV)/bin/python
INSTALL  := $(PY) -m pip install --quiet --disable-pip-version-check --no-deps
RUNTIME  := $(VENV)/.installed-$(EXTRA)
DEV      := $(VENV)/.installed-dev
SITE     := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.PHONY: help setup build-mmpr report train evaluate prove demo-model scale torture harsh fuzz families test test-fast test-readers test-install check-gpu check-gpu-lock lint docs \
	format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo "PIPELINE=recipe  OUT=folder  DATA=a build  ARGS='key.path=value ...'  EXTRA=cpu|gpu  (RAY_ADDRESS names a cluster)"

setup: $(RUNTIME)  ## make .venv and install the pinned lock

build-mmpr: $(RUNTIME)  ## build a preference dataset (PIPELINE=pipelines/quickstart.yaml)
	@$(PY) -m mmpr.build $(PIPELINE) $(if $(OUT),--out $(OUT)) $(ARGS)

report: $(RUNTIME)  ## look at a build: findings, gallery, audit (DATA=builds/quickstart)
	@$(PY) -m mmpr.report $(DATA) $(ARGS)

train: $(RUNTIME)  ## train on a build (DATA=builds/quickstart MODEL=data/demo_model RUN=runs/quickstart TRAINING=recipe)
	@$(PY) -m mmpr.train $(TRAINING) --data $(DATA) --model $(MODEL) --out $(RUN) $(ARGS)

evaluate: $(RUNTIME)  ## measure a model on a build's held-out questions (MODEL=data/demo_model DATA=builds/quickstart)
	@$(PY) -m mmpr.evaluate $(foreach m,$(MODEL),--model $(m)) --data $(DATA) --out $(or $(OUT),evaluations/$(notdir $(DATA))) $(ARGS)

prove: $(RUNTIME)  ## train the quickstart in eight ways with three seeds, measure, compare (docs/results, an hour)
	@test -e $(DATA)/manifest.json || $(PY) -m mmpr.build $(PIPELINE) --out $(DATA)
	@$(PY) -m benchmarks.prove --data $(DATA) --model $(MODEL) --training $(TRAINING) --building $(PIPELINE) $(ARGS)

demo-model: $(RUNTIME)  ## train the small model of data/demo_model again (up to an hour)
	@$(PY) data/train_demo_model.py $(ARGS)

scale: $(RUNTIME)  ## measure the driver of a build at the paper's size (ARGS='--json scale.json'; docs/scale.md)
	@$(PY) -m benchmarks.scale $(ARGS)

fuzz: $(RUNTIME)  ## feed hostile input to everything that reads from outside (ARGS='--inputs 150000')
	@$(PY) -m benchmarks.fuzz $(ARGS)

families: $(RUNTIME)  ## measure families of models, write docs/models.md (ARGS='gemma3 qwen3_vl --engine')
	@$(PY) -m benchmarks.families $(ARGS)

test-install:  ## build the quickstart from a fresh clone in an empty environment (PYTHON=python3.13)
	@$(PYTHON) benchmarks/install.py quickstart

check-gpu:  ## check that this GPU computes what training needs, and how fast: a line of JSON a check
	@$(PYTHON) -m mmpr.train.check_gpu

check-gpu-lock:  ## install locks/gpu.txt into a folder that goes again, import it, plan with it
	@$(PYTHON) benchmarks/install.py gpu-lock

ALONE = ray or vllm or browser

test: $(RUNTIME) $(DEV)  ## run the whole suite on two cores, what starts Ray, vLLM or a browser last (ARGS: some of it)
ifeq ($(ARGS),)
	@$(PY) -m pytest -n 2 --dist loadfile -m "not ($(ALONE))"
	@$(PY) -m pytest -n 2 --dist loadfile -m "$(ALONE)"
else
	@$(PY) -m pytest $(ARGS)
endif

test-fast: $(RUNTIME) $(DEV)  ## run the quick tests on two cores: those without Ray, vLLM or a browser
	@$(PY) -m pytest -n 2 --dist loadfile -m "not slow and not ($(ALONE))" $(ARGS)

test-readers: $(RUNTIME) $(DEV)  ## read exports with LLaMA-Factory, ms-swift, TRL, datasets, DuckDB, pandas (6 GB, 10 minutes)
	@$(PY) -m tests.export.with_tools --environments $(VENV)/readers $(ARGS)

torture: $(RUNTIME)  ## builds under 200 faults on a cluster of namespaces, and the proof (Linux, root; ARGS=--short)
	@$(PY) -m benchmarks.torture $(ARGS)

harsh: $(RUNTIME)  ## builds on machines that lack memory, files, locks, a clock ... (Linux, best as root; 10 minutes)
	@$(PY) -m benchmarks.harsh $(ARGS)

lint: $(RUNTIME) $(DEV)  ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

docs: $(RUNTIME) $(DEV) $(SITE)  ## build the documentation's site into site/; a broken link fails
	@$(PY) docs/settings_page.py --check
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "site/index.html"

format: $(DEV)  ## let ruff format the code
	@$(PY) -m ruff format .

clean:  ## remove .venv, site and caches; builds stay
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or \
		sys.exit("error: mmpr needs Python 3.11, 3.12 or 3.13 and $(PYTHON) is %d.%d; name another: make PYTHON=..." % v)'
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): locks/$(EXTRA).txt locks/install.py pyproject.toml | $(PY)
	@echo "installing locks/$(EXTRA).txt into $(VENV) (a few minutes)"
	@$(PY) locks/install.py locks/$(EXTRA).txt
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV): locks/dev.txt | $(RUNTIME)
	@$(INSTALL) -r locks/dev.txt
	@touch $@

$(SITE): locks/docs.txt | $(DEV)
	@$(INSTALL) -r locks/docs.txt
	@touch $@
