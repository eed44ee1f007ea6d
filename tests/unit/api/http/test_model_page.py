"""The model page shows every card, whatever text it contains, and loads nothing from other hosts."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.requests import Request

from api.http.model_fields import make_fields
from api.http.model_page import ModelPage
from shared.card import ModelCard
from shared.columns import Column, Seen, Value, ValueType
from tests.unit.api.http.cards import card, category, column

HOSTILE = [
    "<script>alert(1)</script>",
    "\"a\" 'b' onfocus=alert(1)",
    "</textarea></select></style>{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "משקל \u202e",
    "very long " * 100,
    "",
]
T = ValueType
REQUEST = Request({"type": "http", "headers": []})


class Elements(HTMLParser):
    """The elements of a page, with their attributes and all text below them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[list[str]] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(len(self.found))
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.append([])

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.texts[index].append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self.found[self._open.pop()][0] != tag:
            pass  # an element without an end, such as <meta>

    def of(self, *tags: str) -> list[tuple[dict[str, str], str]]:
        """Return attributes and text of the elements of some tags."""
        pairs = zip(self.found, self.texts, strict=True)
        return [(attributes, "".join(texts)) for (tag, attributes), texts in pairs if tag in tags]


def with_example(of: ModelCard, *row: Value | None) -> ModelCard:
    return of.model_copy(update={"example": (row,)})


def hostile_card() -> ModelCard:
    columns = [
        column(name, T.STRING, seen=Seen(missing=0.5, counts=tuple((each, 1) for each in HOSTILE))) for name in HOSTILE
    ]
    known = category("known", T.STRING, *HOSTILE)
    made = with_example(card("table", *columns, known), *HOSTILE, HOSTILE[0])
    names = {"versions": dict.fromkeys(HOSTILE, "1"), "classes": tuple(HOSTILE), "metrics": {}}
    return made.model_copy(update=names)


async def page_of(shown: ModelCard) -> tuple[Elements, Any]:
    response = await ModelPage().respond(REQUEST, shown)
    return Elements(bytes(response.body).decode()), response


async def test_hostile_names_and_values_are_text() -> None:
    page, _ = await page_of(hostile_card())
    assert [text for _, text in page.of("label")] == [*HOSTILE, "known"]
    assert [attributes["value"] for attributes, _ in page.of("input")] == HOSTILE
    assert [text for attributes, text in page.of("option") if "selected" in attributes] == HOSTILE[:1]
    assert [text for _, text in page.of("li")] == HOSTILE
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]


async def test_policy_allows_only_the_style_and_the_script_of_the_page() -> None:
    page, response = await page_of(hostile_card())
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        ((_, text),) = page.of(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert not [attributes for _, attributes in page.found if "style" in attributes]


async def test_page_works_below_a_prefix_and_loads_nothing_from_elsewhere() -> None:
    page, response = await page_of(hostile_card())
    html = bytes(response.body).decode()
    addresses = [
        attributes[name] for _, attributes in page.found for name in ("href", "src", "action") if name in attributes
    ]
    addresses += re.findall(r'fetch\("([^"]*)"', html)
    assert "predict" in addresses
    assert not [each for each in addresses if each.startswith(("/", "http", "//"))]


async def test_every_control_of_many_has_a_label() -> None:
    columns = [column(f"x{index}", T.FLOAT64) for index in range(200)]
    page, _ = await page_of(with_example(card("table", *columns), *[0.5] * 200))
    controls = [attributes["id"] for attributes, _ in page.of("input")]
    assert len(controls) == 200
    assert [attributes["for"] for attributes, _ in page.of("label")] == controls
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    described = {each for attributes, _ in page.of("input") for each in attributes["aria-describedby"].split()}
    assert described <= set(ids)


async def test_page_follows_the_card() -> None:
    page = ModelPage()
    for name in ("first", "second"):
        shown = with_example(card("matrix", column("x", T.FLOAT64)), 0.5).model_copy(update={"name": name})
        assert f"<bdi>{name}</bdi>" in bytes((await page.respond(REQUEST, shown)).body).decode()


@pytest.mark.parametrize(
    ("shown", "value", "filled"),
    [
        (column("x", T.INT64), 2**63 - 1, "9223372036854775807"),
        (column("x", T.FLOAT64), 0.1, "0.1"),
        (column("x", T.FLOAT64, nullable=True), None, ""),
        (column("x", T.STRING), "\na", "\na"),
        (column("x", T.DATE), "2026-01-31", "2026-01-31"),
    ],
)
async def test_example_is_filled_in_as_it_is(shown: Column, value: Value | None, filled: str) -> None:
    page, _ = await page_of(with_example(card("table", shown), value))
    fields = [attributes.get("value", text.removeprefix("\n")) for attributes, text in page.of("input", "textarea")]
    assert fields == [filled]


@pytest.mark.parametrize(
    ("shown", "value", "sent"),
    [
        (category("x", T.INT64, 1, 2**53 + 1), 1, [1, 2**53 + 1]),
        (category("x", T.STRING, 'a"', "1", nullable=True), None, [None, 'a"', "1"]),
        (column("x", T.BOOL, nullable=True), True, [None, True, False]),
    ],
)
async def test_options_are_json_and_the_value_of_the_example_is_selected(
    shown: Column, value: Value | None, sent: list[Any]
) -> None:
    page, _ = await page_of(with_example(card("table", shown), value))
    options = [(json.loads(attributes["value"]), "selected" in attributes) for attributes, _ in page.of("option")]
    assert options == [(each, each == value) for each in sent]


@pytest.mark.parametrize(
    ("seen", "type_", "extent", "box"),
    [
        (
            Seen(missing=0, minimum=0, maximum=8, quantiles=(0, 2, 4, 6, 8)),
            T.INT8,
            "0 to 8, median 4",
            (0, 25, 50, 75, 100),
        ),
        (Seen(missing=0, minimum=1.0, maximum=1.0, quantiles=(1, 1, 1, 1, 1)), T.FLOAT64, "1 to 1, median 1", None),
        (
            Seen(missing=0, minimum=-1.7e308, maximum=1.7e308, quantiles=(-1.7e308, 0, 0, 0, 1.7e308)),
            T.FLOAT64,
            "-1.7e+308 to 1.7e+308, median 0",
            (0, 50, 50, 50, 100),
        ),
        (Seen(missing=0, minimum="2024-02-29", maximum="2026-01-31"), T.DATE, "2024-02-29 to 2026-01-31", None),
        (Seen(missing=1), T.FLOAT64, "", None),
    ],
)
def test_range_of_the_training_data_is_told_and_drawn(
    seen: Seen, type_: ValueType, extent: str, box: tuple[float, ...] | None
) -> None:
    (field,) = make_fields(with_example(card("table", column("x", type_, seen=seen)), None))
    assert field.training is not None
    assert field.training.extent == extent
    assert field.training.box == box


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (None, "2 columns."),
        (("a", "b", "c"), "one of 3 classes"),
        ((("a", "b", "c"), (True, False)), "a class for each of 2 targets"),
    ],
)
async def test_page_says_what_comes_out(classes: Any, words: str) -> None:
    of = card("table", column("x", T.FLOAT64), column("y", T.FLOAT64)).model_copy(update={"classes": classes})
    page = bytes((await ModelPage().respond(REQUEST, with_example(of, 1.0, 2.0))).body).decode()
    assert words in " ".join(page.split())
