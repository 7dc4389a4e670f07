# Fresh clone, Python >= 3.11, no compiler, no GPU: `make demo`, `make test`.
VENV ?= .venv
PYTHON ?= python3
TEST_JOBS ?= 2
FUZZ_SEED ?= 0
FUZZ_MINUTES ?= 10

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
STAMP := $(VENV)/.boxrefine_d2_stamp
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: setup lint format test docs demo bench fuzz clean distclean
.DELETE_ON_ERROR:

setup: $(STAMP)

# The stamp is written last, so an install that broke off is taken up again.
$(STAMP): requirements.txt pyproject.toml setup.py tools/build_detectron2.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: boxrefine_d2 needs Python >= 3.11, and $(PYTHON) is not one; try: make PYTHON=python3.11" >&2; exit 2; }
	@rm -f $(STAMP)
	@echo "setting up $(VENV): a few minutes and about 6 GB at the first time"
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

# One thread for each of the test processes: more would fight over the cores.
test: lint
	$(ONE_THREAD) $(PY) -m pytest --numprocesses $(TEST_JOBS)

# Needs no network; a warning is an error.
docs: $(STAMP)
	$(PY) -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

demo: $(STAMP)
	$(PY) tools/run_demo.py --detectors --seeds 0,1,2

bench: $(STAMP)
	$(PY) benchmarks/run.py

# Ten minutes on two cores; not part of `make test`.
fuzz: $(STAMP)
	$(ONE_THREAD) $(PY) -m fuzz.run --seed $(FUZZ_SEED) --minutes $(FUZZ_MINUTES) --jobs $(TEST_JOBS)

clean:
	rm -rf build dist docs/_build output *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
