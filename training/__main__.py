"""`python -m training`: writes model directories.

python -m training [RECIPE]                                                  fits a recipe, and prints its evaluation
python -m training card model.joblib --data rows.parquet --name churn --version 3    takes a pipeline pickled elsewhere
python -m training import-mlflow mlruns/…/model --name churn --version 3             takes a model of MLflow
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
from training.bare import Made, make_card
from training.mlflow_model import locate, read_model
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render

_DEFAULT: Final = "iris"
_COMMANDS: Final = ("card", "import-mlflow")


def main() -> None:
    """Do what the command line says."""
    words = sys.argv[1:] or [_DEFAULT]
    if words[0] not in {*RECIPES, *_COMMANDS} and not words[0].startswith("-"):
        sys.exit(
            f"training: there is no recipe {words[0]}; the recipes are {', '.join(sorted(RECIPES))}. To serve a "
            "pipeline of your own, make a model of it first: see python -m training card --help."
        )
    arguments = _parser().parse_args(words)
    try:
        if arguments.command == "card":
            _make_card(arguments)
        elif arguments.command == "import-mlflow":
            _import_mlflow(arguments)
        else:
            train(RECIPES[arguments.command], arguments.models_dir)
    except ArtifactError as error:
        sys.exit(f"training: {error}")


def train(recipe: Recipe, models_dir: Path) -> Path:
    """Fit and evaluate a recipe, write it, print a report, and return the model directory."""
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


def _make_card(arguments: argparse.Namespace) -> None:
    made, card = _card(arguments, arguments.artifact, arguments.code)
    _print_columns(card, made.origin)
    _print_next(arguments, card)


def _import_mlflow(arguments: argparse.Namespace) -> None:
    folder = locate(arguments.model, arguments.tracking_uri)
    model = read_model(folder)
    arguments.nullable = [*arguments.nullable, *model.nullable]
    arguments.source = arguments.source or (arguments.data.name if arguments.data else f"MLflow: {arguments.model}")
    if not arguments.columns:
        arguments.columns, arguments.columns_from = model.columns, "the model's signature or input example"
    made, card = _card(arguments, model.artifact, [*model.code, *arguments.code], model.rows)
    _print_columns(card, made.origin if arguments.data else f"guessed from {model.origin}")
    if arguments.data is None:
        print("MLflow knows no categories, units of datetimes or missing values: --dtypes, --nullable and --data do")
    _print_next(arguments, card)


def _card(
    arguments: argparse.Namespace, artifact: Path, code: Sequence[Path], stand_in: Any = None
) -> tuple[Made, ModelCard]:
    made = make_card(
        artifact,
        arguments.models_dir,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        stand_in=stand_in,
        columns=arguments.columns,
        columns_from=arguments.columns_from,
        dtypes=dict(map(_pair, arguments.dtypes)),
        nullable="*" in arguments.nullable or arguments.nullable,
        source=arguments.source,
        code=code,
        trusted_types=arguments.trust,
    )
    card = read_card(made.model_dir)
    print(f"wrote {made.model_dir}  {card.digest}")
    return made, card


def _print_columns(card: ModelCard, origin: str) -> None:
    print(f"columns, {origin}:")
    for column in card.input.columns:
        print(f"  {column.name}: {column.type}{', may be missing' if column.nullable else ''}")


def _print_next(arguments: argparse.Namespace, card: ModelCard) -> None:
    path = arguments.models_dir / card.name / card.version / card.artifact
    trusted = skops_file.untrusted_types(path) if card.artifact == SKOPS_FILE else []
    setting = f"SEPAL_TRUSTED_TYPES={','.join(trusted)} " if trusted else ""
    print(f"serve it: {setting}make run MODEL={card.name}/{card.version}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, dtype = text.rpartition("=")
    if not equals:
        raise CannotServe(f"--dtypes {text} is not COLUMN=DTYPE", "Write, for example, --dtypes island=category.")
    return name, dtype


def _names(text: str) -> list[str]:
    """Split names at commas; a name with a comma is quoted as in CSV."""
    return next(csv.reader([text]))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--models-dir", type=Path, default=Path("models"), help="the folder of all models")
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, recipe in sorted(RECIPES.items()):
        commands.add_parser(name, parents=[common], help=f"fit and save {recipe.source}")
    described = _described()
    card = commands.add_parser("card", parents=[common, described], help="save a pipeline that was written elsewhere")
    card.add_argument(
        "artifact", type=Path, help="a file of skops, or one that joblib, pickle or cloudpickle wrote: it is unpickled"
    )
    imported = commands.add_parser(
        "import-mlflow", parents=[common, described], help="save a scikit-learn model of MLflow"
    )
    imported.add_argument("model", help="its folder, or runs:/<id>/model, models:/<name>/<version>, file:///path")
    imported.add_argument(
        "--tracking-uri",
        help="where MLflow keeps its runs; by default ./mlruns if it has any, else the data base ./mlflow.db",
    )
    return parser


def _described() -> argparse.ArgumentParser:
    """Return the options that describe a pipeline that was written elsewhere."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--data", type=Path, help="CSV or Parquet: rows of what the pipeline was fitted on")
    many = partial(parser.add_argument, nargs="+", default=())
    parser.set_defaults(columns_from="--columns")
    parser.add_argument(
        "--columns",
        type=_names,
        action="extend",
        default=[],
        metavar="NAME,NAME,…",
        help="the columns that a pipeline takes which does not name them itself, in their order; all by default",
    )
    many(
        "--dtypes",
        metavar="COLUMN=DTYPE",
        help="pandas dtypes that a CSV lacks, such as island=category signed_up=datetime64[ns]",
    )
    many("--nullable", metavar="COLUMN", help="where values may be missing; * for all")
    many("--code", type=Path, metavar="PATH", help="own modules and packages that it needs")
    many("--trust", metavar="TYPE", help="types that a file of skops may hold, by their full names")
    parser.add_argument("--source", help="where the data comes from; the file's name by default")
    return parser


if __name__ == "__main__":
    main()
