"""`GET /status` as computed from the last overview."""

from dataclasses import replace
from typing import Any

import pytest

from api.cluster.status import ClusterStatus
from api.http.service_status import EXAMPLES, ServiceStatus, service_status
from shared.errors import BrokerUnavailable
from shared.store.status import BulkOverview, Overview
from tests.unit.api.cluster.test_status import overview
from tests.unit.api.http.cards import CARDS


async def refreshed(monkeypatch: pytest.MonkeyPatch, *readings: Overview | BrokerUnavailable) -> ClusterStatus:
    """Return the cluster status after refreshes one second apart."""
    remaining = iter(readings)

    async def read_overview() -> Overview:
        reading = next(remaining)
        if isinstance(reading, BrokerUnavailable):
            raise reading
        return reading

    cluster = ClusterStatus(read_overview, lambda: True, 60)
    for second in range(len(readings)):
        for module in ("backlog", "throughput"):
            monkeypatch.setattr(f"api.cluster.{module}.time.monotonic", lambda second=second: float(second))
        await cluster.refresh()
    return cluster


def shown(cluster: ClusterStatus) -> Any:
    return service_status(cluster).model_dump(mode="json")


async def test_numbers_are_those_of_the_last_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = BulkOverview(accepted_rows=5000, final_rows=1000, n_bytes=70_000, n_open=2, oldest_seconds=4.2714)
    card = CARDS["iris"].model_dump_json().encode()
    first = overview(gateways=3, pool_processes=2, accepted=9, bulk=6)
    last = replace(overview(gateways=3, pool_processes=2, accepted=9, final=9, bulk=6, stored=stored), card=card)
    assert shown(await refreshed(monkeypatch, first, replace(last, dead_letters=1))) == {
        "ready": True,
        "reasons": [],
        "model": CARDS["iris"].ref.model_dump(),
        "gateways": 3,
        "workers": 1,
        "dead_letters": 1,
        "queues": {
            "interactive": {
                "pool_processes": 2,
                "backlog_rows": 0,
                "oldest_seconds": 0,
                "rows_per_second": 9,
                "seconds_left": 0,
            },
            "bulk": {
                "pool_processes": 1,
                "backlog_rows": 4006,
                "oldest_seconds": 0,
                "rows_per_second": 1000,
                "seconds_left": 5,
            },
        },
        "bulk_predictions": {"open": 2, "oldest_seconds": 4.271, "stored_bytes": 70_000},
    }


async def test_time_left_is_unknown_while_no_row_becomes_final(monkeypatch: pytest.MonkeyPatch) -> None:
    once = shown(await refreshed(monkeypatch, overview(accepted=9)))["queues"]["interactive"]
    assert (once["rows_per_second"], once["seconds_left"]) == (None, None)
    twice = shown(await refreshed(monkeypatch, *[overview(accepted=9)] * 2))["queues"]["interactive"]
    assert (twice["rows_per_second"], twice["seconds_left"]) == (0, None)


async def test_numbers_are_unknown_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(overview(), card=CARDS["iris"].model_dump_json().encode())
    status = shown(await refreshed(monkeypatch, known, BrokerUnavailable()))
    assert status == {
        "ready": False,
        "reasons": [{"code": "broker-unavailable", "detail": BrokerUnavailable.detail}],
        "model": CARDS["iris"].ref.model_dump(),
        "gateways": None,
        "workers": None,
        "dead_letters": None,
        "queues": {},
        "bulk_predictions": None,
    }


async def test_reasons_are_those_of_readyz(monkeypatch: pytest.MonkeyPatch) -> None:
    status = shown(await refreshed(monkeypatch, overview(pool_processes=0)))
    assert status["ready"] is False
    assert [reason["code"] for reason in status["reasons"]] == ["model-unknown", "no-worker"]


async def test_examples_of_the_schema_are_responses() -> None:
    for example in EXAMPLES.values():
        assert ServiceStatus.model_validate(example["value"]).model_dump(mode="json") == example["value"]
