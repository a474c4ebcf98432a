# Everything runs in .venv, made from Python 3.11 or later with the exact versions of constraints.txt.
#   make PYTHON=python3.12 ...                   another interpreter
#   make TORCH_INDEX=URL ...                   torch from another index, such as one of its CPU builds
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
STAMP := .venv/installed

.PHONY: help install quickstart test test-slow check bench bench-corpus bench-serve against-trainer ablations bias open-model bench-finetune suite docs clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 14

install: $(STAMP)  ## .venv with the package and what its tests need

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) --editable '.[dev]'
	@touch $@

quickstart: $(STAMP)  ## every stage on real text, in at most ten minutes on two cores: quickstart/
	$(BIN)/cmbert quickstart -o quickstart/

test: $(STAMP)  ## the tests, under ten minutes on two cores
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

test-slow: $(STAMP)  ## the tests that take longer
	$(BIN)/python -m pytest -q -m slow

check: $(STAMP)  ## format, lint, types, the order of imports, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

bench: $(STAMP)  ## the speed of tokenizing, encoding and pretraining beside other tools, here: benchmarks/results/, docs/speed.md
	$(PIP) accelerate openvino
	$(BIN)/python benchmarks/tokenizer_speed.py
	$(BIN)/python benchmarks/pretrain.py
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/where_time_goes.py
	$(BIN)/python docs/generate.py

bench-corpus: $(STAMP)  ## reading and deduplicating beside other tools, and the memory of a build: an hour
	$(PIP) pubmed-parser datasketch
	$(BIN)/python benchmarks/corpus.py
	$(BIN)/python benchmarks/corpus_memory.py
	$(BIN)/python docs/generate.py

bench-serve: $(STAMP)  ## a server under load beside plain ones: 45 minutes on two cores
	$(PIP) fastapi
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python docs/generate.py

against-trainer: $(STAMP)  ## the same minutes of training beside transformers' Trainer and the paper's released loop: two hours on two cores
	$(PIP) accelerate
	$(BIN)/python benchmarks/against_trainer.py -o against-trainer/

ablations: $(STAMP)  ## what each choice of the method gives, three seeds: a night on two cores
	$(BIN)/python benchmarks/ablations.py -o ablations/

bias: $(STAMP)  ## what swapping group terms takes away and costs, two seeds: an hour on two cores
	$(BIN)/python benchmarks/bias.py -o bias/

bench-finetune: $(STAMP)  ## fine-tuning the open model beside transformers' Trainer: half an hour on two cores, after make open-model
	$(PIP) accelerate
	$(BIN)/python benchmarks/finetune.py open-model/model

suite: $(STAMP)  ## the open benchmarks, beside a general model and chance: three hours on two cores, after make open-model
	$(BIN)/python benchmarks/suite.py open-model/model
	$(BIN)/python docs/generate.py

open-model: $(STAMP)  ## a small model on open text, the evidence of its context, then alignment on codes: two hours on two cores
	$(BIN)/python benchmarks/open_model.py -o open-model/

docs: $(STAMP)  ## docs/cli.md and docs/settings.md from the code
	$(BIN)/python docs/generate.py

clean:  ## remove the environment, caches and builds; results stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
