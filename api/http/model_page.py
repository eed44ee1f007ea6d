"""The model card as a page for people, with a form that sends one row to `POST /predict`."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from api.http.model_fields import counted, fields_of, text_of
from shared.card import ModelCard
from shared.columns import ModelInput

_FOLDER: Final = Path(__file__).parent / "templates"


class ModelPage:
    """Renders the page of a card once, and keeps it until the card changes."""

    def __init__(self) -> None:
        style, script = ((_FOLDER / name).read_text() for name in ("model.css", "model.js"))
        environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"text": text_of, "counted": counted}
        parts = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - files of this package
        self._template = environment.get_template("model.html", globals=parts)
        self._headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _content_security_policy(style, script),
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        }
        self._rendered: tuple[ModelCard, bytes] | None = None

    async def respond(self, card: ModelCard) -> HTMLResponse:
        """Return the page of a card."""
        if self._rendered is None or self._rendered[0] is not card:
            # In a thread, because a card of thousands of columns takes a second, in which predictions would wait.
            self._rendered = card, await run_in_threadpool(self._render, card)
        return HTMLResponse(self._rendered[1], headers=self._headers)

    def _render(self, card: ModelCard) -> bytes:
        return self._template.render(card=card, fields=fields_of(card), row=_row(card.input)).encode()


def _row(model_input: ModelInput) -> str:
    """Say what a row of the model is."""
    if model_input.kind == "text":
        return "a text"
    if model_input.kind == "matrix":
        return f"an array of {counted(len(model_input.columns), 'number')}"
    return f"a row of a {model_input.library} data frame with {counted(len(model_input.columns), 'column')}"


def _content_security_policy(style: str, script: str) -> str:
    """Allow the page its own style, its own script and requests to this gateway, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_source(script)}",
            f"style-src {_source(style)}",
            "img-src data:",  # the icon
            "connect-src 'self'",
            "form-action 'none'",  # the script sends the row
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
