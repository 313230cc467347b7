# Every target shows the plain commands it runs; nothing here does what pip and the pqa command could not.
PYTHON ?= python3
LIGHT := .venv-light/bin
DEV := .venv/bin
PIP_INSTALL := pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint slow clean

demo: .venv-light/.ready
	$(LIGHT)/pqa demo --dir demo

test: .venv/.ready
	$(DEV)/python -m pytest -m "not slow"

slow: .venv/.ready
	$(DEV)/python -m pytest -m slow

lint: .venv/.ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

.venv-light/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-light
	$(LIGHT)/$(PIP_INSTALL) -e ".[cpu]"
	touch $@

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(DEV)/$(PIP_INSTALL) -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-light build demo *.egg-info
