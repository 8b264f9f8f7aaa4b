# Everything installs into .venv in this checkout. `make demo` and `make test` need only Python 3.11 and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled code lies in this checkout and is kept: the tests start hundreds of processes, each of which would compile anew.
export PYTHONDONTWRITEBYTECODE :=
# Two tests at once on two cores: the libraries below need not multiply that.
TESTS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(VENV)/bin/pytest -q -n 2

.PHONY: install install-core demo test check lint types layers docs fast all-tests clean tools clients

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Holdtrue needs Python 3.11 or newer; found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# What a user installs: no tests, no torch.
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Holdtrue needs Python 3.11 or newer; found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

install-core: $(VENV)/.core

demo: $(VENV)/.core
	cd examples/hotel_cancellations && ../../$(BIN)/holdtrue run && ../../$(BIN)/python live.py
	@echo && echo "Its life in four months of bookings, with a small tree that ages fast (docs/tutorial/whole-life.md):"
	cd examples/hotel_cancellations && ../../$(BIN)/holdtrue simulate --profile life --start 2016-10-01 --end 2017-01-25 \
	  --step 7d --labels-after reservation_status_date --rows-per-request 2

tools:
	@.ci/tools

# The fast tier: every test that takes under a second or so, with a quarter of the examples of the property tests.
test: install tools
	$(TESTS) --dist loadfile --hypothesis-profile quick -m "not slow" || .ci/once-more

# What has pins of its own, or is large, lives in environments inside ours: public clients, Helm, Ray, Schemathesis.
clients: install
	PYTHON=$(abspath $(BIN)/python) .ci/clients

# Those that read public data sets are among them when HOLDTRUE_TEST_DATA names their folder.
all-tests: install tools clients
	$(TESTS) || .ci/once-more

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/pyright

layers: install
	$(BIN)/lint-imports

docs: install
	$(BIN)/python docs/build.py --check

check: lint types layers docs all-tests

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache examples/*/.holdtrue examples/*/simulation.html
