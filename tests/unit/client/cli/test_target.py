"""The target of a result is chosen and checked before anything is sent."""

from pathlib import Path

import pytest

from sepal_client.cli.target import output_target
from sepal_client.errors import InvalidInput
from tests.unit.client.cli.terminals import terminal


@pytest.mark.parametrize("output", [None, "-"])
def test_result_goes_to_standard_output_as_csv(output: str | None) -> None:
    target = output_target(output, None)
    assert (target.path, target.format) == (None, "csv")


@pytest.mark.parametrize(
    ("name", "to", "written"), [("a.parquet", None, "parquet"), ("a.csv.gz", None, "csv.gz"), ("a", "arrow", "arrow")]
)
def test_suffix_or_option_decides_the_format(tmp_path: Path, name: str, to: str | None, written: str) -> None:
    assert output_target(str(tmp_path / name), to).format == written


@pytest.mark.parametrize(("name", "to"), [("a.xlsx", None), ("a", None), ("a.csv", "xml"), ("a.feather", None)])
def test_unknown_format_is_refused(tmp_path: Path, name: str, to: str | None) -> None:
    with pytest.raises(InvalidInput):
        output_target(str(tmp_path / name), to)


@pytest.mark.parametrize(("name", "reason"), [("none/a.csv", "does not exist"), ("folder.csv", "is a folder")])
def test_target_that_cannot_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidInput, match=reason):
        output_target(str(tmp_path / name), None)


@pytest.mark.parametrize("to", ["parquet", "arrow"])
def test_terminal_gets_no_binary_format(to: str) -> None:
    with terminal(), pytest.raises(InvalidInput, match="A terminal cannot show"):
        output_target(None, to)


def test_pipe_gets_a_binary_format() -> None:
    assert output_target("-", "parquet").format == "parquet"


@pytest.mark.parametrize(
    ("output", "to", "words"),
    [
        (None, None, ["results", "AaIG"]),
        (None, "ndjson", ["results", "AaIG", "--to", "ndjson"]),
        ("my scored.csv", None, ["results", "AaIG", "-o", "my scored.csv"]),
        ("scored.csv", "ndjson", ["results", "AaIG", "-o", "scored.csv", "--to", "ndjson"]),
        ("scored", "csv", ["results", "AaIG", "-o", "scored", "--to", "csv"]),
    ],
)
def test_command_that_resumes_gives_the_same_target(output: str | None, to: str | None, words: list[str]) -> None:
    assert output_target(output, to).resume_arguments("AaIG") == words
