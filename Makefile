# make .venv   a virtual environment with metarl and its development tools
# make demo    train a small meta-policy, evaluate it on new tasks, film it
# make test    the tests; make test-all includes the slow ones
# make lint    formatting, lint and types
# make docs    the documentation site, in docs/_build
# make benchmark   speed against the physics engine alone

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint format docs benchmark clean

.venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "metarl needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv
	$(BIN)/metarl demo

test: .venv
	$(BIN)/pytest -n auto -m 'not slow and not timed'
	$(BIN)/pytest -m 'timed and not slow'

test-all: .venv
	$(BIN)/pytest -n auto -m 'not timed'
	$(BIN)/pytest -m timed

lint: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build
	@echo 'open docs/_build/index.html'

benchmark: .venv
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/vec_env.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/scaling.py --busy
	$(BIN)/python benchmarks/rendering.py

clean:
	rm -rf .venv docs/_build
