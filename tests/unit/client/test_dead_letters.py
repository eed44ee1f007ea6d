"""Dead letters: a replay is not retried."""

from datetime import UTC, datetime

import pytest

from sepal_client import AccessDenied, DeadLetterNotFound, GatewayUnreachable, InvalidInput, Sepal
from tests.clients import Connect
from tests.scripted import Exchange, Script, scripted

TOKEN = "let me in"
QUEUED = {"id": "AaIG", "status": "queued", "rows": {"done": 0, "total": 1}}


def cut(exchange: Exchange) -> None:
    exchange.cut()


def refuse(status: int, code: str) -> Script:
    return lambda exchange: exchange.problem(status, code, Retry_After="0")


def page(*ids: str) -> Script:
    return lambda exchange: exchange.json(200, {"dead_letters": [{"id": each, "buried": 86400} for each in ids]})


def accept(exchange: Exchange) -> None:
    exchange.json(202, QUEUED)


def discarded(exchange: Exchange) -> None:
    exchange.respond(204)


def test_list_has_all_pages(connect: Connect) -> None:
    with scripted(page("b", "a"), page()) as server, connect(server.url, operator_token=TOKEN) as client:
        entries = list(client.dead_letters.entries())
    assert [entry.id for entry in entries] == ["b", "a"]
    assert entries[0].dead_since == datetime(1970, 1, 2, tzinfo=UTC)
    assert [exchange.line.split()[1] for exchange in server.exchanges] == [
        "/dead-letters?offset=0&limit=1000",
        "/dead-letters?offset=2&limit=1000",
    ]
    assert server.exchanges[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_replay_returns_the_new_prediction(connect: Connect) -> None:
    scripts = refuse(503, "model-unknown"), accept
    with scripted(*scripts) as server, connect(server.url, operator_token=TOKEN) as client:
        assert client.dead_letters.replay("a").id == "AaIG"


def test_replay_whose_response_was_lost_is_not_repeated(connect: Connect) -> None:
    with (
        scripted(cut) as server,
        connect(server.url, operator_token=TOKEN) as client,
        pytest.raises(GatewayUnreachable),
    ):
        client.dead_letters.replay("a")


def test_discard_whose_response_was_lost_is_done(connect: Connect) -> None:
    missing = refuse(404, "dead-letter-not-found")
    with scripted(cut, missing, missing) as server, connect(server.url, operator_token=TOKEN) as client:
        client.dead_letters.discard("a")
        with pytest.raises(DeadLetterNotFound):
            client.dead_letters.discard("a")
    with scripted(discarded) as server, connect(server.url, operator_token=TOKEN) as client:
        client.dead_letters.discard("a")


def test_token_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEPAL_OPERATOR_TOKEN", raising=False)
    with (
        scripted() as server,
        Sepal(server.url) as client,
        pytest.raises(InvalidInput, match="set SEPAL_OPERATOR_TOKEN"),
    ):
        client.dead_letters.show("a")
    with (
        scripted(refuse(403, "operators-only")) as server,
        Sepal(server.url, operator_token=TOKEN) as client,
        pytest.raises(AccessDenied),
    ):
        client.dead_letters.show("a")
