"""Reads `SEPAL_URL`, `SEPAL_API_KEY` and `SEPAL_OPERATOR_TOKEN` from the environment."""

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sepal_client.errors import InvalidInput

URL_VARIABLE: Final = "SEPAL_URL"
API_KEY_VARIABLE: Final = "SEPAL_API_KEY"
OPERATOR_TOKEN_VARIABLE: Final = "SEPAL_OPERATOR_TOKEN"  # noqa: S105 (the name of a variable)
DEFAULT_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Settings:
    """The URL of the gateway, and the credentials."""

    url: str
    """Without a trailing slash."""
    api_key: str | None = field(default=None, repr=False)
    operator_token: str | None = field(default=None, repr=False)


def read_settings(url: str | None = None, api_key: str | None = None, operator_token: str | None = None) -> Settings:
    """Return the settings; arguments that are None are read from the environment.

    Raises:
        InvalidInput: the URL is invalid, or a secret has characters that are not allowed in a header.
    """
    found = _check_url(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    key = api_key or os.environ.get(API_KEY_VARIABLE) or None
    token = operator_token or os.environ.get(OPERATOR_TOKEN_VARIABLE) or None
    return Settings(found, _check_secret(key, "API key"), _check_secret(token, "operator token"))


def _check_url(url: str) -> str:
    if "@" in url:  # not shown, because it may contain a password
        raise InvalidInput(f"The URL of the gateway must not contain a user or password: set {API_KEY_VARIABLE}.")
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        is_valid = False
    if not is_valid or parts.query or parts.fragment:
        raise InvalidInput(
            f"{url!r} is not the URL of a gateway: give one such as {DEFAULT_URL}, or set {URL_VARIABLE}."
        )
    return url.rstrip("/")


def _check_secret(secret: str | None, name: str) -> str | None:
    if secret is not None and not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        raise InvalidInput(
            f"The {name} begins or ends with a space, or contains a line break or a non-ASCII character: check it."
        )
    return secret
