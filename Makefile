# make train: builds, installs and runs the main job.   make test: builds, installs and runs the tests.
# Everything is made in .venv and build; nothing needs to be activated, and a second run starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml CMakeLists.txt $(wildcard README.md LICENSE) \
           $(shell find csrc cuda python \( -name __pycache__ -o -name '*.so' \) -prune -o -print)
PYTEST := $(BIN)/python -m pytest

ASAN := build/asan
library_of = $(shell $(CXX) -print-file-name=lib$(1).so)
ASAN_LIBRARIES = $(call library_of,asan) $(call library_of,stdc++)

# The CUDA kernels as C++ for the host, put beside the installed package: the device cuda-emulated of the tests.
EMULATED := build/emulated

# The same, watched by AddressSanitizer and by ThreadSanitizer, in copies of the package: watched-address, watched-thread.
WATCHED := build/watched
WATCH = $(PYTEST) --capture=sys -p no:cacheprovider tests/watched.py

TSAN := build/tsan/stress
TSAN_SOURCES := $(wildcard tests/native/*_stress.cpp) \
                $(addprefix csrc/runtime/,cpu.cpp limits.cpp memory.cpp scratch.cpp threads.cpp)
# ThreadSanitizer needs addresses that randomize less than some kernels do; setarch switches that off where it may.
FIXED_ADDRESSES = $(shell setarch $$(uname -m) -R true 2>/dev/null && echo setarch $$(uname -m) -R)

.PHONY: train test test-all emulated bench gpu pictures lint format ptxas stubs asan asan-emulated tsan tsan-emulated peers clean help

train: $(VENV)/package  ## train on the embedded digits: loss, accuracy, pictures and weights in runs/
	$(BIN)/pullback train $(ARGS)

test: $(VENV)/package $(VENV)/group-test $(EMULATED)/module  ## run the tests on the best instruction set; ARGS="-k name" selects
	$(PYTEST) --cov $(ARGS)

test-all: $(VENV)/package $(VENV)/group-test $(EMULATED)/module  ## every test on every instruction set, CUDA's emulated too; then asan-emulated and tsan-emulated
	PULLBACK_TEST_ALL=1 $(PYTEST) $(ARGS)
	@$(if $(ARGS),,$(watch_where_possible))

emulated: $(EMULATED)/module $(VENV)/group-test  ## run the cases, all of them, on the CUDA kernels emulated on the host
	PULLBACK_TEST_ALL=1 $(PYTEST) tests/test_emulat*.py tests/test_device*.py tests/test_capture*.py tests/test_cuda_interface.py tests/test_cublaslt.py $(ARGS)

bench: $(VENV)/package  ## measure every kernel, against PyTorch where make peers put it; ARGS="--quick"
	$(BIN)/pullback bench $(ARGS)

pictures: $(VENV)/package  ## draw the pictures of every example anew, in docs/pictures
	for name in examples/[a-z]*.py; do $(BIN)/python $$name --out docs/pictures || exit 1; done

lint: $(VENV)/group-lint  ## check format and types; builds nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files '*.cpp' '*.h' '*.cu')

format: $(VENV)/group-lint  ## bring every file into its format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $$(git ls-files '*.cpp' '*.h' '*.cu')

gpu:  ## on a machine with a GPU: build, all cases on it, bench; no network; PYTHON=... has CuPy and PyTorch
	$(PYTHON) benchmarks/gpu.py $(ARGS)

ptxas:  ## write anew how many registers nvcc's newest build gives each kernel
	$(BIN)/python tests/ptxas.py

stubs: $(VENV)/package  ## write the stubs that type checkers read anew
	$(BIN)/python csrc/bind/stubs.py

asan: $(ASAN)/package  ## run the tests under AddressSanitizer and UBSan, on a build of its own
	LD_PRELOAD="$(ASAN_LIBRARIES)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(ASAN)/venv/bin/python -m pytest --capture=sys $(ARGS)  # what the sanitizers say goes past Python

tsan: $(TSAN)  ## run the stress of threads, memory and fork under ThreadSanitizer; any report is an error
	TSAN_OPTIONS=halt_on_error=1 $(FIXED_ADDRESSES) $(TSAN)

asan-emulated: $(WATCHED)-address/module $(VENV)/group-test  ## run every case of the emulated kernels under AddressSanitizer and UBSan
	env LD_PRELOAD="$(ASAN_LIBRARIES)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  PYTHONPATH=$(WATCHED)-address/site $(WATCH) $(ARGS)

tsan-emulated: $(WATCHED)-thread/module $(VENV)/group-test  ## run them with each CUDA thread a fiber of ThreadSanitizer
	$(FIXED_ADDRESSES) env LD_PRELOAD="$(call library_of,tsan)" TSAN_OPTIONS=halt_on_error=1 \
	  PYTHONPATH=$(WATCHED)-thread/site $(WATCH) $(ARGS)

peers: $(VENV)/group-peers  ## install PyTorch, for the tests that compare with it

clean:  ## remove all that was built, the environment included
	rm -rf $(VENV) build dist

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

# A stamp for the environment, for the installed package, and for each group of tools.
define make_environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "pullback needs Python 3.10 or later: make PYTHON=...")'
	@$(PYTHON) -m venv $(1) || { rm -rf $(1); echo "no virtual environment: on Debian and Ubuntu," \
	  "apt install python3-venv; or name another Python: make PYTHON=..."; exit 1; }
	$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
endef

$(VENV)/ready:
	$(call make_environment,$(VENV))
	@touch $@

# Without build isolation, so that only what changed is compiled again: pip's isolated builds start afresh.
$(VENV)/package: $(VENV)/group-build $(SOURCES)
	$(PIP) install --no-build-isolation '.[cli]'
	@touch $@

$(VENV)/group-%: $(VENV)/ready pyproject.toml
	$(PIP) install --quiet --group $*
	@touch $@

INSTALLED = "$$($(BIN)/python -c 'import pullback; print(*pullback.__path__)')"

# Of the folder that the target is in, with more options. Ninja counts its own jobs: make's are not handed down to it.
define build_emulation
	PATH="$(abspath $(BIN)):$$PATH" cmake -S . -B $(@D) -G Ninja -DPython_EXECUTABLE=$(abspath $(BIN)/python) \
	  -DPULLBACK_EMULATE=ON -DPULLBACK_ISAS=portable -DPULLBACK_CUDA=off $(1)
	PATH="$(abspath $(BIN)):$$PATH" MAKEFLAGS= cmake --build $(@D) --target _cuda_emulated
endef

$(EMULATED)/module: $(VENV)/package
	$(call build_emulation)
	cp $(@D)/_cuda_emulated*.so $(INSTALLED)
	@touch $@

$(WATCHED)-%/module: $(VENV)/package
	$(call build_emulation,-DPULLBACK_WATCH=$*)
	rm -rf $(@D)/site && mkdir $(@D)/site && cp -R $(INSTALLED) $(@D)/site
	cp $(@D)/_cuda_emulated*.so $(@D)/site/pullback
	@touch $@

# Beside each other: each has one thread. Of a sanitizer that the compiler lacks, or this kernel's address space, one line.
define watch_where_possible
watched=; for sanitizer in asan tsan; do \
	  library=$$($(CXX) -print-file-name=lib$$sanitizer.so); \
	  if test -f "$$library" && $(FIXED_ADDRESSES) env LD_PRELOAD="$$library" true 2>/dev/null; \
	  then watched="$$watched $$sanitizer-emulated"; \
	  else echo "make $$sanitizer-emulated is left out: $(CXX) has no lib$$sanitizer.so that runs here"; fi; \
	done; \
	test -z "$$watched" || $(MAKE) --no-print-directory -j2 --output-sync $$watched
endef

$(ASAN)/ready:
	$(call make_environment,$(ASAN)/venv)
	@touch $@

$(ASAN)/package: $(ASAN)/ready $(SOURCES)
	$(ASAN)/venv/bin/python -m pip install --quiet --group build --group test
	$(ASAN)/venv/bin/python -m pip install --no-build-isolation '.[cli]' \
	  -C build-dir='$(ASAN)/{wheel_tag}' -C install.strip=false -C cmake.define.PULLBACK_SANITIZE=ON \
	  -C cmake.define.PULLBACK_EMULATE=ON -C cmake.define.PULLBACK_CUDA=off
	@touch $@

$(TSAN): $(TSAN_SOURCES) $(wildcard csrc/runtime/*.h tests/native/*.h)
	@mkdir -p $(@D)
	$(CXX) -std=c++20 -Wall -Wextra -Werror -ffp-contract=off -Icsrc -O2 -g1 -pthread -fsanitize=thread \
	  $(TSAN_SOURCES) -o $@
