# make demo      set up and run the main job: index, search, tag and classify images and sounds
# make check     style, types and the quickest tests: under a minute, after each edit
# make test      style, types and all tests but the slow ones: about four minutes on two cores
# make test-all  the same with the slow tests and with every plugin, whose frameworks take some GB more
# make fuzz      faults and damaged files for FUZZ_MINUTES (60), from where the last run stopped
# make clean     remove what the others made
PYTHON ?= python3
PIP_OPTIONS ?=
FOLDER ?=
WORKERS ?=
FUZZ_MINUTES ?= 60
VENV := .venv
BIN := $(VENV)/bin
STANDARD := $(foreach name,audioset librosa onnx openvino timm,plugins/sightsound-$(name)/pyproject.toml)
OTHERS := $(filter-out $(STANDARD),$(sort $(wildcard plugins/*/pyproject.toml)))
MADE := $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz.json
QUICK := tests/test_layers.py tests/test_docstrings.py tests/contract tests/linear \
	$(filter-out %/test_derived.py %/test_exporting.py,$(wildcard tests/host/test_*.py)) \
	$(filter-out %/test_compare.py %/test_finetune.py %/test_probe.py,$(wildcard tests/cli/test_*.py))
# Each worker is a process. One thread of OpenMP for each is fastest. Tests start many processes, which compile each module
# anew where Python is told to keep no bytecode.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(or $(WORKERS),$(1)) \
	--dist worksteal --durations 5

.PHONY: demo check test test-all fuzz clean style types quick

demo: $(VENV)/ready
	@$(BIN)/python examples/demo.py $(FOLDER)

check: style
	@$(MAKE) --no-print-directory --jobs 2 types quick

test: style types
	@echo "tests (about four minutes on two cores; weights come from the package index at first)"
	@$(call PYTEST,3) -m "not slow"  # the quick ones often wait for the disk, so one worker more than cores

test-all: $(VENV)/all style types
	@echo "all tests, the slow ones and those of every plugin too"
	@$(call PYTEST,2)

fuzz: $(VENV)/ready
	@$(BIN)/python tests/attack/fuzz.py --minutes $(FUZZ_MINUTES)

style: $(VENV)/ready
	@echo "style"
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --quiet --check

types: $(VENV)/ready
	@$(BIN)/mypy

quick: $(VENV)/ready
	@echo "types, and the quickest tests"
	@$(call PYTEST,2) -m "not slow" $(QUICK)

# All in one pip command with the constraints: a second one could replace the CPU build of torch by a CUDA build.
$(VENV)/ready: pyproject.toml constraints.txt $(STANDARD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sightsound needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; use make PYTHON=python3.11")'
	@echo "setting up $(VENV) (PyTorch and its dependencies: some minutes and 2 GB at first, nothing the next time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --constraint constraints.txt \
		setuptools --editable ".[torch,av,plot,export,tables,heic,raw,demo,test]" $(foreach plugin,$(STANDARD),--editable $(dir $(plugin)))
	@touch $@

# tensorflow-hub and tf-keras ask for the full tensorflow, so they are installed without what they ask for.
$(VENV)/all: $(VENV)/ready $(OTHERS)
	@echo "setting up the frameworks of the other plugins (some minutes and 3 GB at first)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --constraint constraints.txt \
		tensorflow-cpu tokenizers transformers $(foreach plugin,$(filter-out %-tfhub/pyproject.toml,$(OTHERS)),--editable $(dir $(plugin)))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --constraint constraints.txt --no-deps \
		tensorflow-hub tf-keras --editable plugins/sightsound-tfhub
	@touch $@

clean:
	@du -sh --total $(wildcard $(MADE)) 2>/dev/null | tail -1 | sed 's/\s*total/ removed/'
	@rm -rf $(MADE)
