# Every command of this repository. A bare machine needs git, make and Python 3.11 or newer; the rest is installed into
# .venv by scripts/setup.sh, once: a second call finds its stamp and installs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PY := .venv/bin/python
export PYTHONUNBUFFERED := 1

.PHONY: help demo run torch setup test test-full lint format openapi audit lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start the platform, train a model on real data, use it, keep serving (ONCE=1: stop after the result; PORT=, DATA=)
	@scripts/setup.sh sklearn
	@$(PY) scripts/demo.py $(if $(ONCE),--once) $(if $(PORT),--port $(PORT)) $(if $(DATA),--data '$(DATA)')

run: ## Start the platform with what is installed (ARGS='--bind 127.0.0.1:8001 --workers 2')
	@scripts/setup.sh sklearn
	@exec $(PY) manage.py up $(ARGS)

torch: ## Install what the workers for PyTorch and Keras need; the next `make run` (or `make demo`) starts them
	@scripts/setup.sh torch

setup: ## Install everything: all frameworks' workers, the tests, the linters
	@scripts/setup.sh all

test: ## Run all tests, on SQLite and on PostgreSQL (part of them: K=expression, ARGS='tests/services -x', DB=postgres)
	@scripts/setup.sh dev
	@scripts/chromium.sh
	@$(PY) scripts/test.py $(if $(K),-k '$(K)') $(if $(DB),--database $(DB)) -- $(ARGS)

test-full: ## Run all tests, the long ones too
	@scripts/setup.sh dev
	@scripts/chromium.sh
	@scripts/setup.sh client-loops || echo "The loops of the training libraries will be skipped, each by its name."
	@scripts/setup.sh tensorflow || echo "The trainings on TensorFlow will be skipped, each by its name."
	@scripts/weights.sh || echo "The fine-tuning of real weights will be skipped, by its name."
	@$(PY) scripts/test.py --full

lint: ## Check style, types, layers, migrations, deployment settings, Dockerfile and compose file
	@scripts/setup.sh dev
	@scripts/lint.sh

format: ## Let ruff rewrite what it can
	@scripts/setup.sh dev
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

openapi: ## Write the snapshots of the contracts' OpenAPI documents anew (tests/contracts/*/openapi.json)
	@scripts/setup.sh dev
	@$(PY) scripts/openapi.py

audit: ## Look the installed packages up in an advisory database ("not audited" where none is reached)
	@scripts/setup.sh dev
	@$(PY) scripts/audit.py

lock: ## Resolve requirements.txt anew and write requirements/constraints.txt
	@scripts/setup.sh sklearn
	@$(PY) scripts/lock.py

clean: ## Remove .venv and the caches; the data folder stays
	@rm -rf .weights .venv .venv-sdk .venv-tf .venv-torch-2.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
