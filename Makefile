# The README's commands and the contributors'. All of them set up what they need in .venv, and may be repeated:
# what is up to date is not done again. `make PYTHON=python3.12 test` uses another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt

# Where pip compiles the package, and where the C++ tests are linked with the kernels that it compiled.
LIBRARY := $(VENV)/library
BUILD := SKBUILD_BUILD_DIR="$(abspath $(LIBRARY))" PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip --disable-pip-version-check --quiet

# Where the usual index has only torch's CUDA build (gigabytes), name the one with CPU builds, as PyTorch's installation page
# does: make TORCH_INDEX=... test
TORCH_INDEX ?=

# Where it is set, every process would compile torch's modules again, for two seconds.
unexport PYTHONDONTWRITEBYTECODE

# Tests go side by side in so many processes.
PROCESSES := $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? n : 8)))

PACKAGE := $(shell find src kernels bindings cmake -not -path '*/__pycache__*' \( -type d -o -name '*.py' -o -name '*.pyi' \
             -o -name '*.[ch]pp' -o -name '*.cmake' -o -name CMakeLists.txt \)) CMakeLists.txt pyproject.toml
CPP := $(shell find kernels bindings tests -name '*.[ch]pp')

help:
	@echo "make demo     in two minutes: a language model that writes, a forecast with its picture, a table of 1997"
	@echo "make test     the tests, C++ and Python, but for the slow ones"
	@echo "make quick    those that a change most likely breaks, in a minute"
	@echo "make check    format, lint, types, the documentation site, the C++ tests under sanitizers, all tests, the slow ones too"
	@echo "make torture  kills, damaged files, full disks and ThreadSanitizer, for half an hour (once: minutes more, to compile)"
	@echo "make format   rewrite the files as make check wants them"
	@echo "make bench    speed and memory beside torch (minutes; leave the machine alone meanwhile)"
	@echo "make bench-kernels  GFLOP/s and per cent of the machine's peak, of every tile and shape"
	@echo "make speed    all of it into docs/speed.md, and how it grows into docs/scaling.md (a quarter of an hour)"
	@echo "make docs     the documentation as a website: build/docs/index.html"
	@echo "make wheel    a wheel that other machines can install: dist/"
	@echo "make clean    remove what these commands made"

demo: $(VENV)/tasks-tools
	rm -rf runs/demo
	$(BIN)/carrousel train text --stdlib --minutes 0.8 --out runs/demo
	$(BIN)/carrousel sample runs/demo --prompt "def " --length 600 --temperature 0.7
	$(BIN)/python examples/tides.py > runs/demo/tides.csv
	$(BIN)/carrousel train forecast runs/demo/tides.csv --horizon 48 --minutes 0.3 --out runs/demo/tides
	@echo "the forecast beside the truth: runs/demo/tides/forecast.png"
	$(BIN)/carrousel reproduce adding --out runs/demo

test: test-kernels test-python

test-all: test-kernels test-slow test-python

check: lint types sanitize docs test-all

bench: $(VENV)/bench-tools
	$(BIN)/carrousel bench layers
	$(BIN)/python -m bench memory
	$(BIN)/python -m bench lstm1997

# Every command as it stands above its table. What fails leaves docs/speed.md as it was.
SPEED := 'carrousel bench layers --threads 2 --seconds 0.3' 'python -m bench options --threads 2' \
         'python -m bench cells --threads 2 --seconds 0.1' 'python -m bench memory' \
         'python -m bench autocast --threads 2 --seconds 0.2' 'python -m bench mlstm' \
         'python -m bench custom-cell --threads 2' 'python -m bench streaming' 'python -m bench start-up'

# What the kernels reach of what the machine could do, without Python: make bench-kernels ARGUMENTS="--only 'tile f32' --turns 9"
bench-kernels: $(VENV)/installed
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(LIBRARY) --target bench_kernels
	$(LIBRARY)/kernels/bench/bench_kernels $(ARGUMENTS)

speed: $(VENV)/bench-tools
	@printf '# Speed: all tables\n\nMedians of turns taken with the rival in one run; ratios matter, not times. Written by `make speed`.\n' > docs/speed.md.partial
	@for bench in $(SPEED); do \
	  printf '\n## `%s`\n\n```\n' "$$bench"; $(BIN)/$$bench || exit 1; printf '```\n'; \
	done >> docs/speed.md.partial
	mv docs/speed.md.partial docs/speed.md
	$(BIN)/python -m bench scaling

# Every warning is an error: a link that leads nowhere, a page that nothing lists, a docstring that does not read as intended.
docs: $(VENV)/docs-tools
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs build/docs
	@echo "build/docs/index.html"

# The notebooks beside the examples, from their scripts.
notebooks: $(VENV)/docs-tools
	$(BIN)/python examples/make_notebooks.py

# What other machines can install: one Python, this processor's architecture. pyproject.toml says what makes the wheels of a release.
# libgomp is not bundled: torch brings it, and two of them in one process would keep two sets of threads spinning.
wheel: $(VENV)/compiled $(VENV)/wheel-tools
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m auditwheel repair --exclude libgomp.so.1 --wheel-dir dist $(VENV)/wheel/*.whl

# In an environment of its own, with no compiler on its path.
test-wheel: wheel $(VENV)/test-tools
	$(BIN)/python -m pytest tests/house/test_wheel.py --wheel dist/*.whl

# The slow ones start processes and compilers, and train: two thirds of the time, in a tenth of the tests.
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

quick: $(VENV)/test-tools
	$(PYTEST) --quick

test-python: $(VENV)/test-tools
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/test-tools
	$(PYTEST) -m slow

lint: $(VENV)/dev-tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .  # its cache misses that a module is new, and sorts imports by it
	$(BIN)/clang-format --dry-run -Werror $(CPP)

format: $(VENV)/dev-tools
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

types: $(VENV)/dev-tools
	$(BIN)/pyright --pythonpath $(BIN)/python

# The kernels' own tests need doctest; without it they are left out, in so many words. What they test are the installed kernels:
# these are not compiled again, only the tests are.
test-kernels: $(VENV)/installed
	$(call kernel-tests,$(LIBRARY),)

sanitize: $(VENV)/build-tools
	$(call kernel-tests,build/sanitized,-G Ninja -DPython_EXECUTABLE="$(abspath $(BIN))/python" $\
	       -DCARROUSEL_EXTENSION=OFF -DCARROUSEL_SANITIZE=ON)

# Half an hour, once the tests for ThreadSanitizer are compiled: make torture ARGUMENTS="--only kills --tasks text --kills 10".
torture: $(VENV)/test-tools
	$(call kernel-tests,build/threads-sanitized,-G Ninja -DPython_EXECUTABLE="$(abspath $(BIN))/python" $\
	       -DCARROUSEL_EXTENSION=OFF -DCARROUSEL_SANITIZE=THREADS,true)
	$(BIN)/python -m tests.torture $(ARGUMENTS)

# 1: the build folder; 2: of CMake; 3: what runs the tests, by default ctest.
define kernel-tests
@if echo '#include <doctest/doctest.h>' | $(CXX) -x c++ -fsyntax-only - 2>/dev/null; then \
	PATH="$(abspath $(BIN)):$$PATH" && \
	cmake -S . -B $(1) $(2) -DCARROUSEL_TESTS=ON --log-level=WARNING && \
	cmake --build $(1) --target kernel_tests && \
	$(if $(3),$(3),ctest --test-dir $(1)/kernels/tests -j $(PROCESSES) --output-on-failure); \
else \
	echo "$@: the C++ tests are LEFT OUT, doctest is not there (on Debian: apt install doctest-dev)"; \
fi
endef

# ---- what the commands stand on ----

# Builds are not isolated from .venv, so that CMake finds the same paths again and compiles only what has changed.
$(VENV)/build-tools: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "carrousel needs Python 3.10 or later: make PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip' || { echo "Python's venv is missing (on Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) scikit-build-core nanobind sympy cmake ninja
	@touch $@

$(VENV)/torch: constraints.txt $(VENV)/build-tools
	@echo "installing torch: the largest download, only the first time"
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@touch $@

# The compiler does not need torch, so both happen at the same time.
$(VENV)/compiled: $(PACKAGE) $(VENV)/build-tools
	@echo "compiling the kernels: minutes, only the first time"
	rm -rf $(VENV)/wheel
	$(BUILD) wheel --no-build-isolation --no-deps --wheel-dir $(VENV)/wheel .
	@touch $@

# Not an editable install: what is tested is what a user gets. Any change in $(PACKAGE) installs again, in seconds.
$(VENV)/installed: $(PACKAGE) constraints.txt $(VENV)/build-tools
	@$(MAKE) --no-print-directory -j2 $(VENV)/compiled $(VENV)/torch
	$(PIP) --force-reinstall --no-deps $(VENV)/wheel/*.whl
	$(PIP) $(VENV)/wheel/*.whl
	@touch $@

# What else some commands need: the optional dependencies of that name in pyproject.toml.
$(VENV)/%-tools: pyproject.toml | $(VENV)/installed
	$(PIP) "$$(echo $(VENV)/wheel/*.whl)[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build dist

.PHONY: help demo test test-all test-slow quick check wheel test-wheel bench bench-kernels speed docs notebooks test-python test-kernels sanitize torture lint format types clean
