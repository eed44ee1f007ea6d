# `make run` starts Sepal; `make test` tests it. The other targets are for development.
PYTHON ?= python3
VENV := .venv/bin

.PHONY: run test check format docs train load bench bench-growth chaos state-machine fuzz fuzz-parsers attack malformed images lock clean

# MODEL=penguins: serves the highest version in models/penguins, or trains that recipe; MODEL=penguins/1: that version.
# INSTALL=1: installs the distributions that the model needs.
run: .venv/run.stamp
	@exec env $(if $(MODEL),SEPAL_MODEL=$(MODEL)) $(if $(INSTALL),SEPAL_INSTALL=1) $(VENV)/python -m local

# With cached byte code, whatever the environment says: hundreds of processes would each compile the same modules.
test: export PYTHONDONTWRITEBYTECODE :=
test: .venv/dev.stamp
	$(VENV)/pytest

check: .venv/dev.stamp
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/mypy --python-version 3.10 client
	$(VENV)/lint-imports
	$(VENV)/vulture
	$(VENV)/python -m tools.sync_client --check
	$(VENV)/python -m tools.documentation --check

format: .venv/dev.stamp
	$(VENV)/python -m tools.sync_client
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

docs: .venv/dev.stamp
	$(VENV)/python -m tools.documentation

train: .venv/run.stamp
	$(VENV)/python -m training

# Load test of `make run` or SEPAL_LOAD_HOST. SHAPE=tutorial: 1,000 users that wait. LOAD="--processes 2": locust options.
SHAPE ?= people
USERS_people := 100
USERS_tutorial := 1000
SPAWN_RATE_people := 10
SPAWN_RATE_tutorial := 100
CALLERS_tutorial := SyncCaller
USERS ?= $(or $(USERS_$(SHAPE)),$(error unknown SHAPE=$(SHAPE): use people or tutorial))
SPAWN_RATE ?= $(SPAWN_RATE_$(SHAPE))
SECONDS ?= 60
load: .venv/dev.stamp
	$(VENV)/locust $(CALLERS_$(SHAPE)) --headless --users $(USERS) --spawn-rate $(SPAWN_RATE) --reset-stats \
	  --run-time $$(($(SECONDS) + $(USERS) / $(SPAWN_RATE)))s --only-summary \
	  --csv .load/$(SHAPE) --csv-full-history --html .load/$(SHAPE).html $(LOAD)

# Benchmarks Sepal and its peers: over an hour, on an otherwise idle machine. BENCH="--scenario penguins --rounds 3".
bench: .venv/dev.stamp
	$(VENV)/python -m benchmarks.serving $(BENCH)

# Measures how cost grows with batches, backlog, gateways and artifacts: 15 minutes. BENCH="--only batch,artifact".
bench-growth: .venv/dev.stamp
	$(VENV)/python -m benchmarks.growth $(BENCH)

# Injects every fault 20 times, client faults 200 times: three hours. CHAOS="--only pool,worker --injections 3".
chaos: .venv/dev.stamp
	$(VENV)/python -m tests.chaos $(CHAOS)

# Sends 5,000 requests generated from the OpenAPI schema to a separate stack: minutes. FUZZ="--seed 7 --cases 1000".
fuzz: .venv/dev.stamp
	$(VENV)/python -m tests.fuzz $(FUZZ)

# Draws inputs for each parser of client input, for ten minutes each. FUZZ="--only prefer". SECONDS=60: for a minute each.
fuzz-parsers: SECONDS = 600
fuzz-parsers: .venv/dev.stamp
	$(VENV)/python -m tests.fuzz.parsers --seconds $(SECONDS) $(FUZZ)

# Sends 400 malformed uploads in all formats to a gateway: minutes. `make test` sends every eighth.
malformed: .venv/dev.stamp
	$(VENV)/pytest tests/integration/test_bulk_malformed.py --all-malformed --numprocesses=0

# Takes random steps through the life of a batch: half an hour. `make test` takes 2,000 steps, the same in each run.
STEPS ?= 200000
state-machine: .venv/dev.stamp
	$(VENV)/pytest tests/machine --machine-steps $(STEPS) --numprocesses=0

# Sends requests that no HTTP library would send: a minute. ATTACK="beside --seconds 60": measures an honest client
# during continuous attacks, half an hour on an otherwise idle machine. ATTACK=--nginx: through a proxy.
attack: .venv/dev.stamp
	$(VENV)/python -m tests.attack $(ATTACK)

images: .venv/dev.stamp
	$(VENV)/pytest tests/images --run-images --numprocesses=0

# The lock files name no package index, so that they work with any index that pip is configured for.
COMPILE := uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links
COMPILE_311 := $(COMPILE) --python-version 3.11
LOCK := $(COMPILE_311) pyproject.toml
# The client's lock file has the tested versions or, for Python 3.10, older ones if those need a later Python.
lock: .venv/dev.stamp
	$(VENV)/$(LOCK) --extra dev -o requirements/dev.txt
	for part in api worker flower run; do \
	  $(VENV)/$(LOCK) --extra $$part -c requirements/dev.txt -o requirements/$$part.txt || exit 1; done
	sed -n "s/^\([^ ]*==[^ ]*\) .*/\1 ; python_full_version >= '3.11'/p" requirements/dev.txt | \
	  $(VENV)/$(COMPILE) --python-version 3.10 client/pyproject.toml -c - -o client/requirements.txt
	$(VENV)/$(COMPILE_311) deploy/s3/requirements.in -c requirements/dev.txt -o deploy/s3/requirements.txt
	for peer in benchmarks/peers/*/; do \
	  $(VENV)/$(COMPILE_311) $${peer}requirements.in -o $${peer}requirements.txt || exit 1; done

clean:
	rm -rf .venv .sepal models .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .load .bench .hypothesis .schemathesis

# There is one virtual environment; a target installs the lock file that it needs (run or dev), and then the client with
# the command `sepal` from its folder.
.venv/%.stamp: requirements/%.txt client/pyproject.toml
	test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e client
	touch $@
