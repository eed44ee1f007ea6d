"""`python -m training`: writes model directories.

python -m training [RECIPE]                                        fits and saves a recipe, and prints its evaluation
python -m training card model.joblib --data rows.parquet --name churn --version 3    saves a pipeline that is in a file
python -m training import-mlflow mlruns/…/model --name churn --version 3             saves a model of MLflow
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from shared.card import SKOPS_FILE, ModelCard, read_card
from shared.errors import ArtifactError, CannotServe
from training import skops_file
from training.artifact import save
from training.mlflow_model import locate_model, read_model
from training.pipeline_file import SavedModel, save_pipeline_file
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render

_DEFAULT_RECIPE: Final = "iris"
_COMMANDS: Final = ("card", "import-mlflow")


def main() -> None:
    """Run the command that the command line specifies."""
    words = sys.argv[1:] or [_DEFAULT_RECIPE]
    if words[0] not in {*RECIPES, *_COMMANDS} and not words[0].startswith("-"):
        sys.exit(
            f"training: there is no recipe {words[0]}; the recipes are {', '.join(sorted(RECIPES))}. To serve a "
            "pipeline of your own, make a model of it first: see python -m training card --help."
        )
    arguments = _make_parser().parse_args(words)
    try:
        if arguments.command == "card":
            _run_card(arguments)
        elif arguments.command == "import-mlflow":
            _run_import_mlflow(arguments)
        else:
            train(RECIPES[arguments.command], arguments.models_dir)
    except ArtifactError as error:
        sys.exit(f"training: {error}")


def train(recipe: Recipe, models_dir: Path) -> Path:
    """Fit, evaluate and save a recipe, print a report, and return the model directory."""
    data = recipe.load()
    evaluation = evaluate(recipe.pipeline(), data.X, data.y)
    model_dir = save(
        recipe.pipeline().fit(data.X, data.y),
        models_dir,
        name=recipe.name,
        version=recipe.version,
        X=data.X,
        source=recipe.source,
        columns=data.columns,
        metrics=evaluation.metrics,
    )
    print(f"{recipe.name} {recipe.version}, {recipe.source}, {len(data.X)} rows")
    print(render(evaluation, data.labels))
    print(f"wrote {model_dir}  {read_card(model_dir).digest}")
    return model_dir


def _run_card(arguments: argparse.Namespace) -> None:
    saved, card = _save_and_read_card(arguments, arguments.artifact, arguments.code)
    _print_columns(card, saved.origin)
    _print_serve_command(arguments, card)


def _run_import_mlflow(arguments: argparse.Namespace) -> None:
    folder = locate_model(arguments.model, arguments.tracking_uri)
    model = read_model(folder)
    arguments.nullable = [*arguments.nullable, *model.nullable]
    arguments.source = arguments.source or (arguments.data.name if arguments.data else f"MLflow: {arguments.model}")
    if not arguments.columns:
        arguments.columns, arguments.columns_source = model.columns, "the model's signature or input example"
    saved, card = _save_and_read_card(arguments, model.artifact, [*model.code, *arguments.code], model.rows)
    _print_columns(card, saved.origin if arguments.data else f"guessed from {model.origin}")
    if arguments.data is None:
        print("MLflow records no categories, datetime units or missing values: use --dtypes, --nullable or --data")
    _print_serve_command(arguments, card)


def _save_and_read_card(
    arguments: argparse.Namespace, artifact: Path, code: Sequence[Path], stand_in: Any = None
) -> tuple[SavedModel, ModelCard]:
    saved = save_pipeline_file(
        artifact,
        arguments.models_dir,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        stand_in=stand_in,
        columns=arguments.columns,
        columns_source=arguments.columns_source,
        dtypes=dict(map(_parse_dtype, arguments.dtypes)),
        nullable="*" in arguments.nullable or arguments.nullable,
        source=arguments.source,
        code=code,
        trusted_types=arguments.trust,
    )
    card = read_card(saved.model_dir)
    print(f"wrote {saved.model_dir}  {card.digest}")
    return saved, card


def _print_columns(card: ModelCard, origin: str) -> None:
    print(f"columns, {origin}:")
    for column in card.input.columns:
        print(f"  {column.name}: {column.type}{', may be missing' if column.nullable else ''}")


def _print_serve_command(arguments: argparse.Namespace, card: ModelCard) -> None:
    path = arguments.models_dir / card.name / card.version / card.artifact
    trusted = skops_file.find_untrusted_types(path) if card.artifact == SKOPS_FILE else []
    setting = f"SEPAL_TRUSTED_TYPES={','.join(trusted)} " if trusted else ""
    print(f"serve it: {setting}make run MODEL={card.name}/{card.version}")


def _parse_dtype(text: str) -> tuple[str, str]:
    name, equals, dtype = text.rpartition("=")
    if not equals:
        raise CannotServe(f"--dtypes {text} is not COLUMN=DTYPE", "Write, for example, --dtypes island=category.")
    return name, dtype


def _split_names(text: str) -> list[str]:
    """Split a list of names at commas; a name that contains a comma is quoted as in CSV."""
    return next(csv.reader([text]))


def _make_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--models-dir", type=Path, default=Path("models"), help="the folder of all models")
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, recipe in sorted(RECIPES.items()):
        commands.add_parser(name, parents=[common], help=f"fit and save {recipe.source}")
    described = _make_options_parser()
    card = commands.add_parser("card", parents=[common, described], help="save a pipeline that is in a file")
    card.add_argument(
        "artifact",
        type=Path,
        help="a skops file (not unpickled), or a file of joblib, pickle or cloudpickle (unpickled)",
    )
    imported = commands.add_parser(
        "import-mlflow", parents=[common, described], help="save a scikit-learn model of MLflow"
    )
    imported.add_argument("model", help="its folder, or runs:/<id>/model, models:/<name>/<version>, file:///path")
    imported.add_argument(
        "--tracking-uri",
        help="where MLflow keeps its runs; by default ./mlruns if it contains any, else the database ./mlflow.db",
    )
    return parser


def _make_options_parser() -> argparse.ArgumentParser:
    """Make the parser of the options that `card` and `import-mlflow` share."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--data", type=Path, help="CSV or Parquet: rows of the training data")
    add_list = partial(parser.add_argument, nargs="+", default=())
    parser.set_defaults(columns_source="--columns")
    parser.add_argument(
        "--columns",
        type=_split_names,
        action="extend",
        default=[],
        metavar="NAME,NAME,…",
        help="the columns that the pipeline takes, in order, if it does not name them itself; all by default",
    )
    add_list(
        "--dtypes",
        metavar="COLUMN=DTYPE",
        help="pandas dtypes that a CSV lacks, such as island=category signed_up=datetime64[ns]",
    )
    add_list("--nullable", metavar="COLUMN", help="columns whose values may be missing; * for all")
    add_list("--code", type=Path, metavar="PATH", help="the pipeline's own modules and packages")
    add_list("--trust", metavar="TYPE", help="full names of types that a skops file may contain")
    parser.add_argument("--source", help="where the data comes from; the file's name by default")
    return parser


if __name__ == "__main__":
    main()
