# Two commands matter: `make run` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src/*.pyx src/*.pxd src/micro/*.pxd src/simd.h) setup.py pyproject.toml
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help run test test-fast bench lint annotate clean
help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

# One environment, built once (editable: Python code is live); an extra adds what pyproject.toml names for it.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
$(VENV)/build.stamp: $(BIN)/python $(SOURCES)
	$(PIP) "setuptools>=77" "cython>=3.1" wheel
	$(PIP) --no-build-isolation --editable ".[cli]"
	@touch $@
$(VENV)/%.stamp: $(VENV)/build.stamp pyproject.toml
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$*'], sep='\n')" > $@.txt
	grep -v ^fastconv $@.txt | $(PIP) --requirement /dev/stdin
	@touch $@

run: $(VENV)/build.stamp                ## the main job: filters on a photograph, layers of two networks
	$(BIN)/fastconv run --output out
test: $(VENV)/test.stamp                ## all tests, on every instruction set that this machine runs
	$(BIN)/python -m pytest
test-fast: $(VENV)/test.stamp           ## the tests that take a minute
	$(BIN)/python -m pytest -m "not slow"
bench: $(VENV)/bench.stamp              ## every named layer beside every peer (installs the peers: 1 GB)
	$(BIN)/fastconv bench --json out/bench.json --plot out
lint: $(VENV)/lint.stamp                ## ruff and cython-lint
	$(BIN)/ruff check .
	PATH=$(CURDIR)/$(BIN):$$PATH cython-lint src
annotate: $(BIN)/python                 ## what Cython makes of each line: build/annotate/*.html
	$(PIP) "cython>=3.1"
	mkdir -p build/annotate && cp -r src/. build/annotate/
	cd build/annotate && ../../$(BIN)/cython -3 -a -X cdivision=True -X boundscheck=False -X wraparound=False *.pyx
clean:                                  ## remove what is built
	rm -rf build dist out $(VENV) fastconv/kernels/*.so *.egg-info
