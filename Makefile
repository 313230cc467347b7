# Every target shows the plain commands it runs; nothing here does what pip and the pqa command could not.
PYTHON ?= python3
LIGHT := .venv-light/bin
DEV := .venv/bin
PIP_INSTALL := pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint api-lint slow package clean

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

# The OpenAPI document by two public linters; needs node's npx, which fetches them.
api-lint:
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
	  npx --yes --package @redocly/cli@2.77.0 -- redocly lint --extends recommended-strict service/openapi.json
	npx --yes --package @stoplight/spectral-cli@6.16.3 -- \
	  spectral lint --ruleset .spectral.yaml --fail-severity hint service/openapi.json

# Wheel and sdist, each installed into a bare environment outside the checkout, where it ranks and serves.
package: .venv/.ready
	rm -rf build dist
	$(DEV)/python -m build --outdir dist .
	for file in dist/*.whl dist/*.tar.gz; do \
	  bare=$$(mktemp -d) && $(PYTHON) -m venv $$bare/env && \
	  $$bare/env/bin/$(PIP_INSTALL) "$$file[cpu]" && \
	  (cd $$bare && env/bin/pqa demo --dir demo) && \
	  ! $$bare/env/bin/python -c "import torch" 2>/dev/null && rm -rf $$bare || exit 1; \
	done

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
