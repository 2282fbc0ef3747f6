# The two commands a newcomer needs: make run, make test. Everything else follows from them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(PYTHON) setup_environment.py

.PHONY: setup run test lab dashboard bench notebooks lock images clean

setup: ## the environment only
	@$(SETUP)

run: setup ## the five notebooks on example_data, then the address of the reports
	@$(BIN)/atlas run

lab: setup ## JupyterLab
	@$(BIN)/atlas lab

dashboard: setup ## Voilà
	@$(BIN)/atlas dashboard

test: ## everything: style, types, tests, notebooks, one chain
	@$(SETUP) --test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal
	$(BIN)/python tests/notebooks_as_committed.py

bench: ## the measurements, as ratios
	@$(SETUP) --test
	$(BIN)/python -m benchmarks

notebooks: ## run the notebooks in place and keep their outputs, without metadata that changes
	@$(SETUP) --test
	$(BIN)/python tests/notebooks_as_committed.py --write

images: ## the README's pictures
	@$(SETUP) --test
	$(BIN)/python docs/make_images.py

lock: ## resolve the locked requirements again
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra setup --extra test --extra spark --extra kafka --extra postgres -o requirements-test.lock -q
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra setup -c requirements-test.lock -o requirements.lock -q

clean:
	rm -rf $(VENV) reports .pytest_cache .mypy_cache .ruff_cache
