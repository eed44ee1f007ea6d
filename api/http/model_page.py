"""The model card as a page for people, with a form that sends one row to `POST /predict`."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from api.http.model_fields import format_count, format_value, make_fields
from api.http.rendered_documents import DocumentCache, RenderedDocument
from api.http.security import PAGE_HEADERS, content_security_policy, csp_hash_source
from shared.card import ModelCard
from shared.columns import ModelInput

_FOLDER: Final = Path(__file__).parent / "templates"


class ModelPage:
    """Renders the page when the card has changed, and keeps it until the next change."""

    def __init__(self) -> None:
        style, script = ((_FOLDER / name).read_text() for name in ("model.css", "model.js"))
        environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"text": format_value, "format_count": format_count}
        parts = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - files of this package
        self._template = environment.get_template("model.html", globals=parts)
        policy = content_security_policy(
            script_src=csp_hash_source(script),
            style_src=csp_hash_source(style),
            img_src="data:",  # the icon
            connect_src="'self'",  # the script sends the row
            require_trusted_types_for="'script'",
        )
        self._headers = {**PAGE_HEADERS, "Content-Security-Policy": policy, "Vary": "Accept"}
        self._pages = DocumentCache(self._render)

    async def respond(self, request: Request, card: ModelCard) -> Response:
        """Respond with the page of a card."""
        return (await self._pages.get(card)).respond(request)

    def _render(self, card: ModelCard) -> RenderedDocument:
        html = self._template.render(card=card, fields=make_fields(card), row=_row_description(card.input))
        return RenderedDocument(html.encode(), "text/html", self._headers)


def _row_description(model_input: ModelInput) -> str:
    """Describe what a row of the model is."""
    if model_input.kind == "text":
        return "a text"
    if model_input.kind == "matrix":
        return f"an array of {format_count(len(model_input.columns), 'number')}"
    return f"a row of a {model_input.library} data frame with {format_count(len(model_input.columns), 'column')}"
