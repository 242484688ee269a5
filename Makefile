# The two commands a newcomer needs: `make demo` and `make test`. Everything else is for contributors.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Which PyTorch: leave empty on a machine with a GPU; see docs/how-to/install.md for PyTorch's own selector.
TORCH_ARGS ?=

# Where it is set, every process that a test starts compiles all sources anew, and every worker all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-faults test-faults-sample test-gpu check format docs bench conformance install install-dev lock clean

demo: $(VENV)/.demo
	$(BIN)/homeroom demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/pytest -n logical --maxprocesses 4 $(ARGS)

# The real models are fetched first (about 90 and 84 MB, once): the tests themselves stay on loopback. Two at a time, not more: some
# take gigabytes.
test-slow: $(VENV)/.dev
	HOMEROOM_CACHE="$${HOMEROOM_TEST_CACHE:-$$HOME/.cache/homeroom}" HOMEROOM_HOME="$$(mktemp -d)" $(BIN)/homeroom models pull
	HOMEROOM_CACHE="$${HOMEROOM_TEST_CACHE:-$$HOME/.cache/homeroom}" HOMEROOM_HOME="$$(mktemp -d)" $(BIN)/homeroom models pull all-minilm-l6-v2
	$(BIN)/pytest -n logical --maxprocesses 2 -m "(slow or browser) and not gpu and not faults" $(ARGS)

# Minutes of killing and filling disks, as root for the disks: docs/explanation/reliability.md says what was seen to pass.
test-faults: $(VENV)/.dev
	$(BIN)/pytest -m faults tests/faults $(ARGS)

# A few of each kind, some minutes; what needs a disk of its own is skipped where it may not be mounted.
test-faults-sample: $(VENV)/.dev
	$(BIN)/pytest -m "faults and sample" tests/faults $(ARGS)

# One NVIDIA GPU, under ten minutes: the tests that need it, then tokens/s, memory and loss beside TRL.
test-gpu: $(VENV)/.dev
	$(BIN)/pip install --quiet -e '.[gpu,bench]'
	$(BIN)/pytest -m gpu tests/tuning/test_gpu.py -v $(ARGS)
	$(BIN)/python benchmarks/gpu_tuning.py

check: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks scripts conformance
	$(BIN)/ruff format --check src tests benchmarks scripts conformance
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check

format: $(VENV)/.dev
	$(BIN)/ruff check --fix src tests benchmarks scripts conformance
	$(BIN)/ruff format src tests benchmarks scripts conformance

docs: $(VENV)/.dev
	$(BIN)/python scripts/docs.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py

# Other people's clients, each installed in an environment of its own: needs the package indexes of Python and Node.
conformance: $(VENV)/.dev
	$(BIN)/python -m conformance.run $(ARGS)

install: $(VENV)/.demo
install-dev: $(VENV)/.dev

# Four steps, because the wheel of PyTorch depends on the machine and so stays outside the hash lock:
# hashed packages; PyTorch at the tested version; Homeroom itself; and a check that it all fits together.
define INSTALL
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Homeroom needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Run: make demo PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing packages ($(1)); the first time takes a few minutes ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/$(1).lock
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints/tested.txt torch $(TORCH_ARGS)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/pip check --disable-pip-version-check
	@touch $@
endef

$(VENV)/.demo: requirements/demo.lock constraints/tested.txt pyproject.toml
	$(call INSTALL,demo)

$(VENV)/.dev: requirements/dev.lock constraints/tested.txt pyproject.toml
	$(call INSTALL,dev)

# Needs pip-tools. Upgrade on purpose: make lock LOCK_ARGS=--upgrade
lock:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/lock.py $(LOCK_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
