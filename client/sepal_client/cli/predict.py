"""`sepal predict`: the result of one row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sepal_client.cli.row import parse_named_row, parse_ordered_row, parse_text_row
from sepal_client.cli.row_result import show_result
from sepal_client.cli.session import Session

if TYPE_CHECKING:
    from sepal_client.model import Model

EXAMPLES: Final = """\
Examples:
  sepal predict 4.8 3 1.4 0.3
  sepal predict --row island=Dream --row bill_length_mm=46.5
  sepal predict --text "What a film!"
  sepal predict --json --outputs proba 4.8 3 1.4 0.3"""

Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VALUE]...", help="The values of the columns, in their order.", show_default=False),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--row", metavar="NAME=VALUE", help="One value of the row, by column name; give one --row per column."
    ),
]
Text = Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The row, for a model whose rows are texts.")]
Outputs = Annotated[
    str | None,
    typer.Option("--outputs", metavar="NAME,NAME", help="The outputs to return. [default: prediction and log_proba]"),
]


def predict(
    session: Session, values: Values = None, row: Rows = None, text: Text = None, outputs: Outputs = None
) -> None:
    """Predict one row.

    Values are converted to the types of the model's columns, which "sepal model" shows; an empty value is missing. If
    standard output is not a terminal, only the prediction is printed.
    """
    given = _check_row_arguments(values or [], row or [], text)
    names = None if outputs is None else outputs.split(",")
    with session.connect() as sepal:
        model = sepal.model()
        result = sepal.predict([_parse_row(model, given)], outputs=names)
    show_result(result, model, as_json=session.as_json, has_chosen_outputs=names is not None)


def _check_row_arguments(
    values: Sequence[str], assignments: Sequence[str], text: str | None
) -> tuple[Sequence[str], Sequence[str], str | None]:
    ways = (bool(values), bool(assignments), text is not None)
    if sum(ways) != 1:
        raise typer.BadParameter(
            'give the row either as values, with --row NAME=VALUE or with --text; "sepal model" shows the columns'
        )
    for value in values:
        if value.startswith("-") and not _is_number(value):
            raise typer.BadParameter(f"unknown option {value}; give a value that begins with - as --row NAME={value}")
    return values, assignments, text


def _parse_row(model: "Model", row_arguments: tuple[Sequence[str], Sequence[str], str | None]) -> Any:
    values, by_name, text = row_arguments
    if text is not None:
        return parse_text_row(model, text)
    return parse_named_row(model, by_name) if by_name else parse_ordered_row(model, values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
