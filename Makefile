# make demo      refuses a typo, then trains on handwritten digits
# make examples  runs the demo, and the recipes of docs/in-your-trainer.md with the real libraries
# make test      runs the tests, one process for each core
# make test-all  runs them with the libraries of tests/libraries, which save, load and average models
# make test-torch  runs them with the oldest torch that pyproject.toml declares and the newest, or TORCH="2.9.1 2.10.0"
# make lint      ruff and pyright, both strict
# make bench     measures against hand-written torch and other libraries
# make bench-sweep  measures against hand-written torch at every size, an hour
#
# Each of them first makes .venv with the versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo examples test test-all test-torch lint format bench bench-sweep clean

demo: $(READY)
	@$(BIN)/python examples/digits/demo.py

examples: demo .venv/.libraries
	$(BIN)/python -m pytest -v -rs tests/test_in_your_trainer.py

test: $(READY)
	$(PYTEST)

test-all: $(READY) .venv/.libraries
	$(PYTEST)

test-torch:
	PYTHON=$(PYTHON) tests/torch_versions.sh $(TORCH)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project pyproject.toml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) .venv/.bench
	$(BIN)/python -m bench

bench-sweep: $(READY) .venv/.bench
	$(BIN)/python -m bench.sweep

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/.bench: bench/requirements.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement bench/requirements.txt
	@touch $@

.venv/.libraries: tests/libraries/requirements.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/libraries/requirements.txt
	@touch $@

clean:
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis examples/*/out
