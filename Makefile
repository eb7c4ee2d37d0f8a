# make demo   environment, then demo.mp4 from the portrait and the voice in assets/
# make test   environment with the test tools, lint, types, layers, tests
# VENV=path   use or make the environment there (several checkouts may share one)
# JOBS=n      processes for the tests
# make default-model DATA=folder [OUT=folder]   the default checkpoints from raw footage
# make paper-table HDTF=folder [OUT=folder]     the paper's table from raw footage

VENV ?= .venv
JOBS ?= 2
OUT ?= runs/default_model
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && echo $$p && break; done)
RUN := $(VENV)/bin/python

# An environment that several checkouts share is linked to one of them; the current checkout has precedence.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.PHONY: help env env-test fingerprint demo default-model paper-table lint test test-gpu test-lowest clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   write demo.mp4 (makes the environment in $(VENV) first)"
	@echo "make test   lint, types, layers and tests"
	@echo "make lint   the same without the tests"
	@echo "make test-gpu  the tests that need a GPU"
	@echo "make test-lowest  the tests with every dependency at its lower bound (another 7 GB)"
	@echo "make env    the environment alone"
	@echo "make default-model DATA=folder  trains the default checkpoints again from raw footage, into OUT ($(OUT))"
	@echo "make paper-table HDTF=folder  the paper's table: trains configs/paper, scores, ablates, into OUT (runs/paper_table)"
	@echo "make clean  remove caches and demo.mp4"

env env-test:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed; name it with PYTHON=path" >&2; exit 2; }
	@$(PYTHON) .ci/environment.py install "$(VENV)" $(if $(filter env-test,$@),--extra test)

fingerprint:
	@$(PYTHON) .ci/environment.py fingerprint

demo: env
	@$(RUN) -m moda infer assets/demo.wav assets/demo.png --output demo.mp4
	@echo "the demo is $(CURDIR)/demo.mp4"

# What DATA holds: python -m benchmarks.default_model --help. The same command again goes on.
default-model: env
	@test -n "$(DATA)" || { echo "name the folder of raw footage: make default-model DATA=folder" >&2; exit 2; }
	@$(RUN) -m benchmarks.default_model "$(DATA)" --output "$(OUT)"

# What HDTF holds: python -m benchmarks.paper_table --help. The same command again goes on.
paper-table: OUT = runs/paper_table
paper-table: env
	@test -n "$(HDTF)" || { echo "name the folder of HDTF: make paper-table HDTF=folder" >&2; exit 2; }
	@$(RUN) -m benchmarks.paper_table "$(HDTF)" --output "$(OUT)"

lint: env-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# One thread a process: several processes share the cores.
test: lint
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile

# What needs a GPU, where there is one; skipped elsewhere.
test-gpu: env-test
	$(RUN) -m pytest -m gpu

# The tests with every dependency at the lower bound of pyproject.toml; constraints.txt is the upper end.
test-lowest: LOWEST := $(VENV)-lowest
test-lowest:
	$(PYTHON) -m venv "$(LOWEST)"
	"$(LOWEST)/bin/python" -m pip install -q uv
	"$(LOWEST)/bin/uv" pip install -q --python "$(LOWEST)/bin/python" --resolution lowest-direct -e ".[test]"
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 "$(LOWEST)/bin/python" -m pytest -n $(JOBS) --dist loadfile

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info demo.mp4
	find . -name __pycache__ -type d -not -path "./.venv/*" -prune -exec rm -rf {} +
