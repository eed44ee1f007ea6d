"""The media type of a response, by the `Accept` headers of the request."""

import pytest

from api.http.negotiation import accepted_type, preferred_type

JSON, HTML = "application/json", "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["application/json"], JSON),
        (["application/*"], JSON),
        (["application/json, text/html"], JSON),
        (["application/json, text/plain, */*"], JSON),
        (["text/html;q=0.8, application/json"], JSON),
        (["text/html;q=0, */*"], JSON),
        (["image/png"], JSON),
        (["nonsense"], JSON),
        (["text/html;q=0.5, application/json;q=0.5"], JSON),
        ([BROWSER], HTML),
        (["text/html"], HTML),
        (["Text/HTML"], HTML),
        (["text/*"], HTML),
        (["text/html, */*"], HTML),
        (["text/html, application/json;q=0.9"], HTML),
        (["application/json;q=0, */*;q=0.1"], HTML),
        (["application/json;q=0.5", "text/html;q=0.6"], HTML),
        (["text/html, " + "a/b, " * 150], HTML),
        (["text/html, " + "a/b, " * 6000], JSON),
    ],
)
def test_client_gets_the_type_that_it_prefers_and_json_by_default(accept: list[str], preferred: str) -> None:
    assert preferred_type(accept, (JSON, HTML)) == preferred


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        ([HTML], HTML),
        (["image/png"], None),
        (["text/html;q=0, application/json;q=0"], None),
        (["nonsense"], JSON),
    ],
)
def test_client_that_accepts_none_of_the_types_is_known(accept: list[str], accepted: str | None) -> None:
    assert accepted_type(accept, (JSON, HTML)) == accepted
