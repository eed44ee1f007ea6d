"""`GET /model` in a browser that runs only the page's own script (Content-Security-Policy)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from tests.browser import Open
from tests.served_models import save_texts
from tests.stack import Gateway, Stack, running_stack
from training.artifact import save

EXACT = 2**53 + 1  # the first integer that a double cannot hold
MARKUP = '<script>document.title="run"</script>'
QUOTES = "\"a\" 'b' onfocus=alert(1)"
HEBREW = "משקל"
LONG = "very long " * 50


def save_awkward(models_dir: Path) -> Path:
    """Save a pipeline whose columns have awkward names, and whose classes are integers that a double cannot hold."""
    frame = pd.DataFrame(
        {
            MARKUP: [0.5, 1.5, 2.5],
            QUOTES: pd.Categorical(["<b>", 'x"y', "<b>"]),
            HEBREW: np.array([EXACT, 1, 2]),
            LONG: [0.5, None, 2.5],
            "good": [True, False, True],
            "note": ["a", None, "b"],
        }
    )
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [QUOTES, "note"]), remainder="passthrough"
    )
    pipeline = make_pipeline(prepare, DecisionTreeClassifier(random_state=0)).fit(frame, [EXACT, 0, EXACT])
    return save(pipeline, models_dir, name="awkward", version="1", X=frame, source="<i>the tests</i>")


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("awkward")
    with running_stack(folder, save_awkward(folder)) as (_, gateway):
        yield gateway


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("texts")
    with running_stack(folder, save_texts(folder), max_text_bytes=20) as (_, gateway):
        yield gateway


def visit(open_page: Open, gateway: Gateway, **options: Any) -> Page:
    page = open_page(**options)
    page.goto(f"http://127.0.0.1:{gateway.port}/model")
    return page


def submit(page: Page) -> Any:
    """Send the row of the form; return the body."""
    with page.expect_request("**/predict") as sent:
        page.get_by_role("button", name="Predict").click()
    assert sent.value.post_data is not None
    return json.loads(sent.value.post_data)


def test_example_row_is_predicted(penguins: Gateway, open_page: Open) -> None:
    card = penguins.client.get("/model").json()
    page = visit(open_page, penguins)
    assert submit(page) == {"data": [card["example"][0]]}
    answer = page.get_by_role("status")
    expect(answer.locator(".prediction")).to_have_text("Adelie")
    shares = answer.get_by_role("listitem")
    expect(shares).to_have_count(len(card["classes"]))
    expect(shares.first).to_have_text("Adelie> 99.9 %")


def test_wrong_value_shows_the_problem_beside_its_field(penguins: Gateway, open_page: Open) -> None:
    page = visit(open_page, penguins, statuses=[422])
    year = page.get_by_label("year", exact=True)
    year.fill("20o7")
    year.press("Enter")
    field = page.locator(".field", has=year)
    expect(field.locator(".fault")).to_contain_text('"year" must be an integer')
    expect(field.locator(".fault")).to_contain_text('"20o7" is not')
    expect(year).to_have_attribute("aria-invalid", "true")
    expect(year).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("One value does not fit the model")
    expect(page.locator(".fault", has_text="must")).to_have_count(1)
    year.fill("2007")
    year.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Adelie")
    expect(page.locator(".fault", has_text="must")).to_have_count(0)


def test_number_is_sent_and_shown_with_all_its_digits(awkward: Gateway, open_page: Open) -> None:
    page = visit(open_page, awkward)
    page.get_by_label(HEBREW).fill(str(EXACT + 2))
    assert submit(page)["data"][0][2] == EXACT + 2
    expect(page.locator(".prediction")).to_have_text(str(EXACT))


def test_empty_field_of_a_nullable_column_is_sent_as_null(awkward: Gateway, open_page: Open) -> None:
    page = visit(open_page, awkward)
    page.get_by_label(LONG.strip()).fill("")
    page.get_by_label("note", exact=True).fill("")
    assert submit(page) == {"data": [[0.5, "<b>", EXACT, None, True, None]]}
    expect(page.locator(".prediction")).to_be_visible()


def test_categories_and_booleans_are_selected(awkward: Gateway, open_page: Open) -> None:
    page = visit(open_page, awkward)
    page.get_by_label(QUOTES).select_option(label='x"y')
    page.get_by_label("good").select_option(label="false")
    row = submit(page)["data"][0]
    assert (row[1], row[4]) == ('x"y', False)
    expect(page.locator(".prediction")).to_be_visible()


def test_names_are_shown_as_text(awkward: Gateway, open_page: Open) -> None:
    page = visit(open_page, awkward)
    for name in (MARKUP, QUOTES, HEBREW, LONG.strip()):
        expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    assert page.title() == "awkward 1 · model"
    assert page.locator("script").count() == 1


def test_accepted_row_is_polled_until_its_result_is_there(iris_stack: tuple[Stack, Gateway], open_page: Open) -> None:
    gateway = iris_stack[0].start_gateway(wait_seconds=0).wait_until_ready()
    page = visit(open_page, gateway)
    with page.expect_response("**/predict") as accepted:
        page.get_by_role("button", name="Predict").click()
    assert accepted.value.status == 202
    expect(page.locator(".prediction")).to_have_text("0")


def test_text_is_sent_with_its_line_breaks_and_its_problem_is_beside_it(texts: Gateway, open_page: Open) -> None:
    page = visit(open_page, texts, statuses=[422])
    text = page.get_by_role("textbox")
    text.fill("\ngood\nbad")
    assert submit(page) == {"data": ["\ngood\nbad"]}
    expect(page.locator(".prediction")).to_be_visible()
    text.fill("good" * 6)
    submit(page)
    expect(page.locator(".fault")).to_contain_text("send at most 20 (SEPAL_MAX_TEXT_BYTES)")
    expect(text).to_be_focused()


def test_every_control_has_a_label_and_a_phone_shows_the_page_without_scrolling_sideways(
    awkward: Gateway, open_page: Open
) -> None:
    page = visit(open_page, awkward, viewport={"width": 360, "height": 740}, color_scheme="dark")
    controls = page.locator("input, select, textarea")
    assert controls.evaluate_all("all => all.map(each => each.labels.length)") == [1] * 6
    assert page.locator("[id]").evaluate_all("all => new Set(all.map(each => each.id)).size === all.length")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("html").get_attribute("lang") == "en"
