# Everything is installed into .venv; nothing here needs root, except where a message says so.
BIN := .venv/bin
# One for each core of the smallest machine. With three, leases of the tests ran out for want of a core.
WORKERS := 2

.PHONY: install run test check site screenshots audit bench deployment faults format lock clean

install: .venv/installed

.venv/installed: requirements.lock requirements-dev.lock pyproject.toml timer_client/pyproject.toml .cicd/install.sh
	@PYTHON="$(PYTHON)" sh .cicd/install.sh
	@touch $@

run: install
	@exec $(BIN)/python -m timer_local

test: install
	$(BIN)/python -m timer_db engines mysql mariadb
	@sh .cicd/browser.sh
	@sh .cicd/promtool.sh
	$(BIN)/pytest -n $(WORKERS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory site

# README.md and docs/ as a site, in dist/site. A link that leads nowhere is an error.
site: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f website/mkdocs.yml

# The console's pictures in docs/console, of a running system: after a change of the pages.
screenshots: install
	$(BIN)/python -m timer_db engines mysql
	@sh .cicd/browser.sh
	$(BIN)/python -m tests.browser.screenshots

# Asks a service on the internet, so neither `make check` nor `make test` depends on it.
audit: install
	$(BIN)/python .cicd/audit.py

bench: install
	$(BIN)/python -m benchmarks

# What it takes, such as FAULTS="--only kill-controller --seed 1", is told by FAULTS=--help.
faults: install
	$(BIN)/python -m timer_db engines mysql mariadb
	$(BIN)/python -m tests.faults $(FAULTS)

# Where a Docker engine runs: some eight minutes, the making of images included.
deployment:
	@bash .cicd/deployment.sh

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Renew the locks after a change of dependencies in pyproject.toml.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-find-links --no-emit-index-url --no-header --extra traces pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-find-links --no-emit-index-url --no-header --group dev --all-extras -c requirements.lock pyproject.toml timer_client/pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist
