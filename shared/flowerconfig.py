"""Flower's configuration: `python -m celery flower --conf=shared/flowerconfig.py`.

Flower executes this file and takes every name in it that is one of its options. The address and the port are given on
the command line, the broker in CELERY_BROKER_URL.
"""

import sys

from pydantic import ValidationError

from shared.settings import FlowerSettings

try:
    _settings = FlowerSettings()
except ValidationError as _error:
    _reasons = "; ".join(f"SEPAL_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in _error.errors())
    sys.exit(f"flower: never without a password. {_reasons}")

basic_auth = [f"{_settings.flower_user}:{_settings.flower_password.get_secret_value()}"]
read_only = True  # it shows; what is done to a worker or a batch is done through the gateway, or by a supervisor

# A batch's queue and size are in its message's `kwargsrepr`: see api/publisher.py.
tasks_columns = "uuid,kwargs,state,received,started,runtime,worker"

# Batches; a hundred thousand otherwise, which take 360 MB: docs/benchmarks/flower.md.
max_tasks = 10_000
max_workers = 1_000
# A worker is seen to be offline after 4 s, two heartbeats. The next one has another name: this one never comes back.
purge_offline_workers = 15

logging = "error"
