# `make app` and `make test` do everything on a fresh machine that has Python 3.11.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Tests start hundreds of processes: none should compile the package anew, whatever is set outside.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: app demo test test-browser test-heavy test-hard bench bench-guard check format lock audit clean

app: .venv/.installed
	$(BIN)/cezsar app

demo: .venv/.installed
	$(BIN)/cezsar demo

test: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# The app in headless Chromium: some minutes; needs `apt-get install chromium`.
test-browser: .venv/.installed-dev
	$(BIN)/python -m pytest -m browser tests/browser

test-heavy: .venv/.installed-dev
	$(BIN)/python -m pytest -m heavy

# Damage, kills and load, thousands of times, and one table of what was lost; see tests/hard/conftest.py.
test-hard: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m hard -n 3 tests/hard --seed $(or $(SEED),0) $(if $(TABLE),--table $(TABLE))

# Speed of every task against the plain way and the machine's limit: a quarter of an hour; see docs/performance.md.
bench: .venv/.installed-dev
	$(BIN)/python benchmarks/bench.py

# The same on small sizes, wanting a third of the ratios: what a change must not undo.
bench-guard: .venv/.installed-dev
	$(BIN)/python benchmarks/bench.py protocol mining training decoding --scale 0.05 --guard

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Both ask the network. The first makes the lists of what is installed anew; the second asks for known vulnerabilities, and
# fails where it got no answer.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
lock: .venv/.installed-dev
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements-dev.in --constraints requirements.txt --output-file requirements-dev.txt

audit: .venv/.installed-dev
	$(BIN)/uv tool run pip-audit@2.10.1 --strict --disable-pip --requirement requirements-dev.txt

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CEZSAR needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache
