"""`sepal score`: scores a file, and writes the result to a file or to standard output."""

import sys
import time
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sepal_client.cli import interrupt, report
from sepal_client.cli.bar import ProgressBar
from sepal_client.cli.delivery import deliver, summarize
from sepal_client.cli.session import PATIENT_RETRY_SECONDS, Session
from sepal_client.cli.target import STANDARD_STREAM, Output, Target, To, output_target
from sepal_client.cli.terminal import print_lines

if TYPE_CHECKING:
    from sepal_client import Prediction, Sepal

EXAMPLES: Final = """\
Examples:
  sepal score flowers.csv -o scored.parquet
  sepal score customers.parquet -o scored.parquet --carry id --on-error report
  sepal score export.csv --delimiter ';' --null NA -o scored.csv.gz
  cat flowers.csv | sepal score - > scored.csv
  sepal score flowers.csv --detach

Ctrl-C asks whether to leave the prediction running; "sepal results ID" fetches its result later."""


class OnError(str, Enum):
    """The effect of a row that cannot be scored."""

    FAIL = "fail"
    REPORT = "report"


Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A CSV, NDJSON, JSON, Arrow or Parquet file; text formats also as .gz or .zst. -: standard input.",
    ),
]
SourceFormat = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="The format of FILE. [default: by its suffix; csv for standard input]"
    ),
]
Carry = Annotated[
    list[str] | None,
    typer.Option(
        "--carry", metavar="NAME,NAME", help="Columns to copy to the result, which are not inputs of the model."
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option("--outputs", metavar="NAME,NAME", help="The outputs to return. [default: prediction and log_proba]"),
]
Errors = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        help='If a row cannot be scored: fail the prediction, or report the reason in a column "error".',
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHARACTER", help="CSV: the delimiter; \\t is a tab. [default: a comma]"),
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="CSV: the first line is a row; the columns are in the model's order.")
]
Null = Annotated[
    list[str] | None,
    typer.Option("--null", metavar="TEXT", help="CSV: a string that means a missing value, besides the empty cell."),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        metavar="SECONDS",
        min=0.001,
        help="If there is no result after this time, the prediction expires.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait: print the id once the rows are accepted.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, even on a terminal.")]


def score(
    session: Session,
    source: Source,
    output: Output = None,
    to: To = None,
    source_format: SourceFormat = None,
    carry: Carry = None,
    outputs: Outputs = None,
    on_error: Errors = OnError.FAIL,
    delimiter: Delimiter = None,
    no_header: NoHeader = False,
    null: Null = None,
    deadline: Deadline = None,
    detach: Detach = False,
    quiet: Quiet = False,
) -> None:
    """Score a file of any number of rows.

    The result is written to standard output as CSV, or to the file given with -o; an incomplete file is deleted.
    Columns are matched by name.
    """
    target = output_target(output, to)
    if session.as_json and target.path is None and not detach:
        raise typer.BadParameter("--json requires -o FILE or --detach, because the result goes to standard output")
    options = {
        "format": source_format or ("csv" if source == STANDARD_STREAM else None),
        "carry": [name for names in carry or () for name in names.split(",")],
        "outputs": None if outputs is None else outputs.split(","),
        "on_error": on_error.value,
        "delimiter": None if delimiter is None else delimiter.replace("\\t", "\t"),
        "header": False if no_header else None,
        "null": null or (),
        "deadline": deadline,
    }
    began = time.monotonic()
    bar = ProgressBar(session.address, is_quiet=quiet)
    with session.connect(retry_for=PATIENT_RETRY_SECONDS) as sepal:
        prediction = _submit(session, sepal, source, options, target, bar)
        if detach:
            report.print_json({"id": prediction.id}) if session.as_json else print_lines([prediction.id])
            return
        final = deliver(session, prediction, target, bar, is_submitted_here=True)
    summarize(session, final, target, bar, time.monotonic() - began)


def _submit(
    session: Session, sepal: "Sepal", source: str, options: Mapping[str, Any], target: Target, bar: ProgressBar
) -> "Prediction":
    prediction: Prediction | None = None
    is_all_sent = False

    def on_sent(done: int, total: int | None) -> None:
        nonlocal is_all_sent
        is_all_sent = total is None or done == total  # the size of a pipe is unknown
        bar.show_sent(done, total)

    try:
        with bar:
            rows = sys.stdin.buffer if source == STANDARD_STREAM else source
            prediction = sepal.submit(rows, on_sent=on_sent, **options)
    except KeyboardInterrupt:
        if prediction is None:
            interrupt.exit_during_upload(session, is_all_sent=is_all_sent)
        interrupt.ask_to_cancel(session, prediction, target.resume_arguments(prediction.id))
    return prediction
