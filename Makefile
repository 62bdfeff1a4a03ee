SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test unit static format lint types imports simulation contract integration coverage schemas clean

help: ## list every target
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (hashed lock, about half a minute) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## make .venv with everything in it (Python >= 3.11 is all it needs)

demo: $(STAMP) ## the story, live: naive workers beside Headrace on a real Kafka (LAW=chat-legacy, LEADS=60)
	@$(BIN)/headrace demo $(if $(LAW),--law $(LAW)) $(if $(LEADS),--leads $(LEADS))

format: $(STAMP) ## write the canonical format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only --quiet .

lint: $(STAMP) ## format and lint, read only
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(STAMP) ## mypy strict on packages and tests
	@$(BIN)/mypy

imports: $(STAMP) ## the import contracts of pyproject.toml
	@$(BIN)/lint-imports

static: lint types imports ## lint, types and imports

unit: $(STAMP) ## unit and property tests: no services, under 30 s
	@$(BIN)/python -m pytest -q tests/unit tests/property

test: $(STAMP) ## everything, on a real Kafka and Valkey that the run starts itself
	@$(BIN)/python -m pytest -q

clean: ## forget the environment and caches
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
