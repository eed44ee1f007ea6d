"""The client's settings, from arguments or the environment."""

import pytest

from sepal_client import InvalidInput, Sepal
from sepal_client.settings import read_settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEPAL_URL", "SEPAL_API_KEY", "SEPAL_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().url == "http://127.0.0.1:8000"
    monkeypatch.setenv("SEPAL_URL", "https://sepal.example/prefix/")
    monkeypatch.setenv("SEPAL_API_KEY", "key")
    monkeypatch.setenv("SEPAL_OPERATOR_TOKEN", "token")
    found = read_settings()
    assert (found.url, found.api_key, found.operator_token) == ("https://sepal.example/prefix", "key", "token")
    found = read_settings("http://other:8000", "other key", "other token")
    assert (found.url, found.api_key, found.operator_token) == ("http://other:8000", "other key", "other token")


def test_empty_variables_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEPAL_URL", "SEPAL_API_KEY", "SEPAL_OPERATOR_TOKEN"):
        monkeypatch.setenv(name, "")
    assert read_settings() == read_settings("http://127.0.0.1:8000")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "sepal.example",
        "ftp://sepal.example",
        "http://",
        "http://host:port",
        "http://h?a=b",
        "http://h#a",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="set SEPAL_URL"):
        Sepal(url)


@pytest.mark.parametrize("secret", ["two\nlines", "schlüssel", " swordfish"])
def test_secret_that_no_header_may_have_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(InvalidInput, match="The API key begins or ends") as raised:
        Sepal(api_key=secret)
    assert secret not in str(raised.value)


def test_password_in_the_url_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidInput, match="set SEPAL_API_KEY") as raised:
        Sepal("https://me:swordfish@sepal.example")
    assert "swordfish" not in str(raised.value)


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(read_settings(None, "secret", "secret"))


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"retry_for": -1}])
def test_impossible_times_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="`timeout` must be"):
        Sepal(**options)  # type: ignore[arg-type]
