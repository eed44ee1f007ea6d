# What a newcomer types: `make run`, `make test`. Everything else is for those who work on Sepal.
PYTHON ?= python3
VENV := .venv/bin

.PHONY: run test check format docs train load bench bench-growth chaos state-machine fuzz images lock clean

run: .venv/run.stamp
	@exec $(VENV)/python -m local

test: .venv/dev.stamp
	$(VENV)/pytest

check: .venv/dev.stamp
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/vulture
	$(VENV)/python -m tools.documentation --check

format: .venv/dev.stamp
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

docs: .venv/dev.stamp
	$(VENV)/python -m tools.documentation

train: .venv/run.stamp
	$(VENV)/python -m training

# Against `make run`, or against SEPAL_LOAD_HOST. SHAPE=tutorial: a thousand who wait. LOAD="--processes 2": locust's own.
SHAPE ?= people
USERS_people := 100
USERS_tutorial := 1000
SPAWN_RATE_people := 10
SPAWN_RATE_tutorial := 100
CALLERS_tutorial := SyncCaller
USERS ?= $(or $(USERS_$(SHAPE)),$(error there is no SHAPE=$(SHAPE), only people and tutorial))
SPAWN_RATE ?= $(SPAWN_RATE_$(SHAPE))
SECONDS ?= 60
load: .venv/dev.stamp
	$(VENV)/locust $(CALLERS_$(SHAPE)) --headless --users $(USERS) --spawn-rate $(SPAWN_RATE) --reset-stats \
	  --run-time $$(($(SECONDS) + $(USERS) / $(SPAWN_RATE)))s --only-summary \
	  --csv .load/$(SHAPE) --csv-full-history --html .load/$(SHAPE).html $(LOAD)

# Sepal beside its peers: the best part of an hour, on a machine that does nothing else. BENCH="--only in_process,sepal".
bench: .venv/dev.stamp
	$(VENV)/python -m benchmarks.serving $(BENCH)

# How cost grows with what there is of everything: about a quarter of an hour. BENCH="--only batch,artifact".
bench-growth: .venv/dev.stamp
	$(VENV)/python -m benchmarks.growth $(BENCH)

# Every fault twenty times: the best part of an hour. CHAOS="--only pool,worker --injections 3".
chaos: .venv/dev.stamp
	$(VENV)/python -m tests.chaos $(CHAOS)

# 5,000 requests drawn from the OpenAPI schema, against a stack of their own: some minutes. FUZZ="--seed 7 --cases 1000".
fuzz: .venv/dev.stamp
	$(VENV)/python -m tests.fuzz $(FUZZ)

# The life of a batch in random steps, other ones at each run; `make test` takes 2,000 fixed ones. Half an hour.
STEPS ?= 200000
state-machine: .venv/dev.stamp
	$(VENV)/pytest tests/machine --machine-steps $(STEPS) --numprocesses=0

images: .venv/dev.stamp
	$(VENV)/pytest tests/images --run-images --numprocesses=0

# The hashed locks name no host, so they work against whatever index pip is told to use.
COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --no-emit-index-url --no-emit-find-links
LOCK := $(COMPILE) pyproject.toml
lock: .venv/dev.stamp
	$(VENV)/$(LOCK) --extra dev -o requirements/dev.txt
	for part in api worker flower run; do \
	  $(VENV)/$(LOCK) --extra $$part -c requirements/dev.txt -o requirements/$$part.txt || exit 1; done
	for peer in benchmarks/peers/*/; do \
	  $(VENV)/$(COMPILE) $${peer}requirements.in -o $${peer}requirements.txt || exit 1; done

clean:
	rm -rf .venv .sepal models .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .load .bench .hypothesis .schemathesis

# One environment, filled as far as it is needed: serving needs less than testing.
.venv/%.stamp: requirements/%.txt
	test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@
