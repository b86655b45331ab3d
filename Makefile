# The commands of a day. `make` alone lists them.
.PHONY: help test test-one coverage check fix bench
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
test: ## all tests
	uv run pytest
test-one: ## one file in one process: make test-one T=tests/models/test_tiers.py
	uv run pytest --numprocesses=0 $(T)
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
bench: ## the benchmarks
	uv run --group bench python -m benchmarks
