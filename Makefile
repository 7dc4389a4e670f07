# `make demo` and `make test` work in a fresh clone with Python >= 3.11, without a compiler or a GPU.
VENV ?= .venv
PYTHON ?= python3
TEST_JOBS ?= 2
FUZZ_SEED ?= 0
FUZZ_MINUTES ?= 10

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
STAMP := $(VENV)/.boxrefine_d2_stamp
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: setup lint format test commands docs demo bench fuzz clean distclean
.DELETE_ON_ERROR:

setup: $(STAMP)

# The stamp is written last. After an interrupted installation, make runs the rule again.
$(STAMP): requirements.txt pyproject.toml setup.py tools/build_detectron2.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is not Python >= 3.11, which boxrefine_d2 needs; try: make PYTHON=python3.11" >&2; exit 2; }
	@rm -f $(STAMP)
	@echo "setting up $(VENV): the first time takes a few minutes and about 6 GB"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint requirements.txt setuptools wheel
	@$(PIP) install --no-build-isolation --requirement requirements.txt
	@$(PY) tools/build_detectron2.py
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

lint: $(STAMP)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff check --fix --exit-zero
	$(PY) -m ruff format

# Each test process has one thread, because more threads would compete for the cores.
test: lint
	$(ONE_THREAD) $(PY) -m pytest --numprocesses $(TEST_JOBS) --dist worksteal

# Every command of README, tutorials and guides, with short trainings; takes minutes.
commands: $(STAMP)
	$(ONE_THREAD) $(PY) -m pytest -m commands tests/commands --numprocesses $(TEST_JOBS) --dist worksteal

# The build needs no network; a warning is an error.
docs: $(STAMP)
	$(PY) -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

demo: $(STAMP)
	$(PY) tools/run_demo.py --detectors --seeds 0,1,2

bench: $(STAMP)
	$(PY) benchmarks/run.py

# Takes ten minutes on two cores; not part of `make test`.
fuzz: $(STAMP)
	$(ONE_THREAD) $(PY) -m fuzz.run --seed $(FUZZ_SEED) --minutes $(FUZZ_MINUTES) --jobs $(TEST_JOBS)

clean:
	rm -rf build dist docs/_build output *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
