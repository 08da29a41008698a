# Everything a newcomer or a pipeline runs. `make demo` and `make test` are README's two commands.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(BIN)/python -m pip install --quiet --no-deps --require-hashes
EDITABLE := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

PULUMI := github.com/pulumi/pulumi
PULUMI_VERSION := $(PULUMI)/sdk/v3/go/common/version.Version

.PHONY: demo test engine actionlint check lint types floors lock replace-paths campaign golden smoke-aws changelog clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: requirements/core.txt pyproject.toml | $(BIN)/python
	$(LOCKED) -r requirements/core.txt
	$(EDITABLE)
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.core
	$(LOCKED) -r requirements/test.txt
	@touch $@

demo: $(VENV)/.core
	@BIN=$(BIN) tools/demo.sh

# The tests start a thousand processes: each would compile the whole of cloudmodel again where bytecode is not kept.
test: $(VENV)/.test
	@$(MAKE) --no-print-directory engine || echo "make test: goes on without Pulumi's command line"
	@$(MAKE) --no-print-directory actionlint || echo "make test: goes on without actionlint"
	PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto --dist worksteal

# Pulumi's own command line in the version of tools/go.mod, which the tests of the official engine run. Go keeps what it
# compiled: the first build takes minutes, the next ones seconds.
engine: | $(BIN)/python
	@if command -v go > /dev/null; then $(MAKE) --no-print-directory $(BIN)/pulumi; \
	else echo "make engine: there is no Go here to build Pulumi's command line with"; fi

$(BIN)/pulumi: tools/go.mod tools/go.sum | $(BIN)/python
	cd tools && go build -o $(CURDIR)/$@ -ldflags "-X $(PULUMI_VERSION)=$$(go list -m -f '{{.Version}}' $(PULUMI)/pkg/v3)" \
	  $(PULUMI)/pkg/v3/cmd/pulumi

# The judge of the workflows that `ci init github` writes. A module of its own: it and Pulumi ask for two versions of one
# YAML library.
actionlint: | $(BIN)/python
	@if command -v go > /dev/null; then $(MAKE) --no-print-directory $(BIN)/actionlint; \
	else echo "make actionlint: there is no Go here to build it with"; fi

$(BIN)/actionlint: tools/actionlint/go.mod tools/actionlint/go.sum | $(BIN)/python
	cd tools/actionlint && go build -o $(CURDIR)/$@ github.com/rhysd/actionlint/cmd/actionlint

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

floors: $(VENV)/.test
	$(BIN)/lint-imports

check: lint types floors test

# Writes the lock files again from pyproject.toml; review the difference before committing it. The registry's torch for
# Linux is the one for CUDA and loads all of its libraries; triton alone (1 GB) is not needed without a GPU. TensorFlow
# Serving's messages ask for the package tensorflow, which tensorflow-cpu is.
lock: | $(BIN)/python
	$(BIN)/python -m pip install --quiet "uv>=0.9"
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command "make lock" --group build pyproject.toml -o requirements/core.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command "make lock" -c requirements/core.txt --group build --group test --extra torch --extra sklearn \
	  --extra keras --extra tf-mot --extra huggingface --extra text --extra image --extra signing \
	  --no-emit-package triton --no-emit-package tensorflow \
	  pyproject.toml -o requirements/test.txt

# Asks terraform's AWS provider again what forces a replacement; review the difference before committing it.
replace-paths: $(VENV)/.test
	PYTHONPATH=tests/support $(BIN)/python tools/replace_paths.py

# Deploys to a real account, for a quarter of an hour: says what it costs and wants the account's id typed.
# make smoke-aws IMAGE=111122223333.dkr.ecr.us-east-1.amazonaws.com/serving@sha256:... REGION=us-east-1
smoke-aws: $(VENV)/.core
	@BIN=$(BIN) IMAGE=$(IMAGE) REGION=$(REGION) tools/smoke_aws.sh

# Writes the golden states again, where a change is meant to reach stacks that stand; review the difference.
# STACKS="async scaled" writes only those.
golden: $(VENV)/.test
	PYTHONPATH=tests/support $(BIN)/python tools/golden.py $(STACKS)

# Runs 200 random programs on both engines and writes what differs into tests/parity; PROGRAMS=20 FIRST=1000 asks for
# others.
PROGRAMS ?= 200
FIRST ?= 0
campaign: $(VENV)/.test $(BIN)/pulumi
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests/support $(BIN)/python tools/parity_campaign.py --programs $(PROGRAMS) --first $(FIRST)

# Moves the fragments of changelog.d/ into CHANGELOG.md: make changelog VERSION=0.1.0
changelog: $(VENV)/.test
	$(BIN)/towncrier build --yes --version $(VERSION)

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
