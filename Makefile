# `make` or `make help` lists what there is. Everything happens in .venv; nothing has to be installed by hand.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Tests in two processes, each with a mongod of its own; a file's tests stay together. More cores: make test PARALLEL="-n 8 --dist loadfile --no-loadscope-reorder"
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder

# One thread per process: quicker than more on a busy machine, and the same seed gives the same model.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full mutants fuzz browser pictures ultralytics settings check format bench bench-long clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY)  ## .venv with swath, torch and a usable mongod in it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("swath needs Python 3.10 or later, this is " + sys.version.split()[0] + "; say PYTHON=python3.11, for example") if sys.version_info < (3, 10) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,onnx,dev]'
	$(BIN)/python -m swath.database
	@touch $@

demo: $(READY)  ## a made KITTI folder, the whole loop on it, and a report
	$(BIN)/swath demo

test: $(READY)  ## the tests, slow proofs left out
	$(BIN)/python -m pytest -m "not slow" -rs $(PARALLEL)

test-full: $(READY)  ## all tests
	$(BIN)/python -m pytest -m "not slow" -rs $(PARALLEL)
	$(BIN)/python -m pytest -m slow -rs $(PARALLEL:loadfile=load)

mutants: $(READY)  ## plants bugs in the decisions: do the quick tests notice? (minutes)
	$(BIN)/python tests/mutants.py --keep

fuzz: $(READY)  ## hostile names, files, settings and moments, at every point of a loop (5 minutes)
	$(BIN)/python tests/fuzz.py --minutes 5

browser: $(READY)  ## what the tests in a browser need: Debian's chromium (as root, if none is there) and playwright
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { timeout 300 apt-get update -qq && timeout 600 apt-get install -y -qq chromium; } >.venv/chromium.log 2>&1 \
	  || { echo "no Chromium here, and apt-get cannot install one ($$(tail -n 1 .venv/chromium.log)): install it by hand, or set CHROMIUM" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[browser]'

ultralytics:  ## .venv-ultralytics: YOLO for `train: {trainer: ultralytics}` (AGPL-3.0, several GB; nothing else needs it)
	test -x .venv-ultralytics/bin/python || $(PYTHON) -m venv .venv-ultralytics
	.venv-ultralytics/bin/python -m pip install --quiet --disable-pip-version-check ultralytics
	.venv-ultralytics/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless  # they share their files
	.venv-ultralytics/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless
	.venv-ultralytics/bin/python -c "import cv2, torchvision; from importlib.metadata import version; print('ultralytics', version('ultralytics'))"

pictures: $(READY)  ## the pictures of the README, anew, in docs/pictures (needs make browser; runs the demo where it was not)
	$(BIN)/python tests/browser/pictures.py

settings: $(READY)  ## docs/settings.md, from the settings themselves
	$(BIN)/python -m swath.settings_page > docs/settings.md

check: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the benchmarks, short
	@for one in zcore neighbors allocate coverage targeting commit detector evaluation checks scale report; do $(BIN)/python -m benchmarks.$$one --short || exit 1; done

bench-long: $(READY)  ## the benchmarks at full size (hours, 24 GB)
	@for one in zcore neighbors allocate coverage targeting commit detector evaluation checks scale report; do $(BIN)/python -m benchmarks.$$one --long || exit 1; done

clean:  ## remove caches and the demo's folder; .venv stays
	rm -rf demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
