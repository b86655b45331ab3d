# The commands of a day. `make` alone lists them.
.PHONY: help test test-one heavy coverage check fix site bench
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
test: ## all tests
	uv run pytest
test-one: ## one file in one process: make test-one T=tests/models/test_tiers.py
	uv run pytest --numprocesses=0 $(T)
heavy: ## the tests that take many seconds of several processes
	uv run pytest -m heavy
coverage: ## branch coverage of the core: at least 95 %
	uv run pytest --cov --cov-report= --ignore=tests/cli --ignore=tests/export --ignore=tests/sandbox
	uv run coverage report --fail-under=95
check: ## lint, format, types, layers
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy
	uv run lint-imports
fix: ## mend and format
	uv run ruff check --fix .
	uv run ruff format .
site: ## the documentation, into build/docs
	uv run --group docs sphinx-build -W docs build/docs
bench: ## the benchmarks
	uv run --group bench python -m benchmarks
