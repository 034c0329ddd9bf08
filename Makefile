# maskrl: few verbs, each works as the first command typed after `git clone`.
#
#   make train   set up, train a panda under an action mask and a feature mask,
#                evaluate it and print where its report lies
#   make test    set up and run the fast tests
#   make check   format, lint, types and layers
#   make slow    the slow tests, learning ones included
#   make bench   set up an environment of its own with other libraries at pinned
#                versions, and measure maskrl's speed beside theirs
#   make setup   only set up the development environment
#   make worlds  set up an environment of its own, on top of the development one, with
#                Jumanji, JaxMARL and rl4co, and run the tests that need them
#   make microrts  add microRTS's engine to it (it needs Java 17 or newer)
#   make clean   remove the environment and caches (runs/ stays)
#
# Choices, on the command line:
#   TORCH_INDEX=URL   take torch from another package index than the default one
#                     (a CPU build is a fraction of the size of a CUDA build)
#   PYTHON=...        the interpreter to build the environment with
#   ENV=, MINUTES=, ARGS=   what `make train` trains, for how long, further options;
#                     ARGS= also for `make bench`, e.g. ARGS="--only training"
#   TESTS=            which tests, e.g. TESTS=tests/masks
#   TEST_PROCESSES=   how many processes share out the fast tests' files: one per core, at most
#                     4, if nothing is said; 0 runs them in the one that is started

VENV    ?= .venv
BENCH   ?= .venv-bench
WORLDS  ?= .venv-worlds
TORCH   ?= torch==2.13.0
ENV     ?= panda
MINUTES ?= 5
ARGS    ?=
TESTS   ?= tests
TEST_PROCESSES ?= auto
# What runs microRTS's engine; maskrl/envs/adapters/microrts/installation.py says the same.
JPYPE    = JPype1==1.7.1
MICRORTS = gym-microrts==0.6.0
PYTHON  ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
BENCH_PIP := $(BENCH)/bin/python -m pip install --disable-pip-version-check --constraint constraints-bench.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup microrts train test check slow bench worlds clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# Each step leaves a stamp, so that a second `make` does none of it again.
$(VENV)/.with-torch:
	@test -n "$(PYTHON)" || { echo "maskrl needs Python 3.11 or newer; none was found. Install it, or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON), $(TORCH) first (once; it takes a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX),) "$(TORCH)"
	@touch $@

$(VENV)/.with-maskrl: $(VENV)/.with-torch pyproject.toml constraints.txt
	@echo "installing maskrl and what it needs"
	@$(PIP) --quiet --editable .
	@touch $@

$(VENV)/.with-dev: $(VENV)/.with-maskrl
	@echo "installing the development tools"
	@$(PIP) --quiet --editable ".[dev]"
	@touch $@

setup: $(VENV)/.with-dev

# The package declares an old Python and an old Gym, and nothing here needs either.
$(VENV)/.with-microrts: $(VENV)/.with-maskrl Makefile
	@test -n "$$JAVA_HOME" || command -v java >/dev/null || { echo "microRTS needs Java 17 or newer, and there is no java here. On Debian or Ubuntu: apt-get install --no-install-recommends openjdk-17-jre-headless. Or set JAVA_HOME." >&2; exit 1; }
	@echo "installing $(MICRORTS) and the bridge to Java"
	@$(PIP) --quiet "$(JPYPE)" Pillow
	@$(PIP) --quiet --no-deps --ignore-requires-python "$(MICRORTS)"
	@touch $@

microrts: $(VENV)/.with-microrts

train: $(VENV)/.with-maskrl
	@$(BIN)/maskrl train $(ENV) --max-minutes $(MINUTES) $(ARGS)
	@echo "to use the command \`maskrl\` in this shell: source $(BIN)/activate"

test: $(VENV)/.with-dev
	@$(BIN)/python -m pytest $(TESTS) -m "not slow" --numprocesses $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile

slow: $(VENV)/.with-dev
	@$(BIN)/python -m pytest $(TESTS) -m slow

$(BENCH)/.with-torch:
	@test -n "$(PYTHON)" || { echo "maskrl needs Python 3.11 or newer; none was found. Install it, or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "setting up $(BENCH) with $(PYTHON), $(TORCH) first (once; it takes a few minutes)"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH_PIP) $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX),) "$(TORCH)"
	@touch $@

$(BENCH)/.with-others: $(BENCH)/.with-torch pyproject.toml constraints-bench.txt
	@echo "installing maskrl and what it is compared with"
	@$(BENCH_PIP) --quiet --editable ".[bench]"
	@touch $@

bench: $(BENCH)/.with-others
	@$(BENCH)/bin/maskrl bench $(ARGS)

# On top of $(VENV): what is there is used from there, torch above all.
$(WORLDS)/.with-libraries: $(VENV)/.with-dev requirements-worlds.txt
	@echo "setting up $(WORLDS) with Jumanji, JaxMARL and rl4co (once; about 200 MB)"
	@$(BIN)/python -m venv $(WORLDS)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(WORLDS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beneath.pth
	@$(WORLDS)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-worlds.txt
	@touch $@

worlds: $(WORLDS)/.with-libraries
	@MASKRL_WORLDS=required $(WORLDS)/bin/python -m pytest tests/envs/adapters -m "worlds and not slow"
	@echo "to train on one of them: $(WORLDS)/bin/python -m maskrl train jumanji:Snake-v1"

check: $(VENV)/.with-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(BENCH) $(WORLDS) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist maskrl.egg-info
	find maskrl tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
