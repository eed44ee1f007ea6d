"""`python -m training`: writes model directories.

python -m training [RECIPE]                                                  fits a recipe, and prints its evaluation
python -m training card model.joblib --data rows.parquet --name churn --version 3    takes a pipeline pickled elsewhere
python -m training import-mlflow mlruns/…/model --name churn --version 3             takes a model of MLflow
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from shared.card import SKOPS_FILE, ModelCard, read_card
from shared.errors import ArtifactError, CannotServe
from training import skops_file
from training.artifact import save
from training.bare import make_card
from training.mlflow_model import locate, read_model
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render

_DEFAULT: Final = "iris"


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args(sys.argv[1:] or [_DEFAULT])
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
    card = _card(arguments, arguments.artifact, arguments.code)
    _print_next(arguments, card)


def _import_mlflow(arguments: argparse.Namespace) -> None:
    folder = locate(arguments.model, arguments.tracking_uri)
    model = read_model(folder)
    arguments.nullable = [*arguments.nullable, *model.nullable]
    arguments.source = arguments.source or (arguments.data.name if arguments.data else f"MLflow: {arguments.model}")
    card = _card(arguments, model.artifact, [*model.code, *arguments.code], model.rows)
    if arguments.data is None:
        print(f"columns, guessed from {model.origin}:")
        for column in card.input.columns:
            print(f"  {column.name}: {column.type}{', may be missing' if column.nullable else ''}")
        print("MLflow knows no categories, units of datetimes or missing values: --dtypes, --nullable and --data do")
    _print_next(arguments, card)


def _card(arguments: argparse.Namespace, artifact: Path, code: Sequence[Path], stand_in: Any = None) -> ModelCard:
    model_dir = make_card(
        artifact,
        arguments.models_dir,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        stand_in=stand_in,
        dtypes=dict(map(_pair, arguments.dtypes)),
        nullable="*" in arguments.nullable or arguments.nullable,
        source=arguments.source,
        code=code,
        trusted_types=arguments.trust,
    )
    card = read_card(model_dir)
    print(f"wrote {model_dir}  {card.digest}")
    return card


def _print_next(arguments: argparse.Namespace, card: ModelCard) -> None:
    path = arguments.models_dir / card.name / card.version / card.artifact
    trusted = skops_file.untrusted_types(path) if card.artifact == SKOPS_FILE else []
    setting = f"SEPAL_TRUSTED_TYPES={','.join(trusted)} " if trusted else ""
    print(f"serve it: {setting}make run MODEL={card.name}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, dtype = text.rpartition("=")
    if not equals:
        raise CannotServe(f"--dtypes {text} is not COLUMN=DTYPE", "Write, for example, --dtypes island=category.")
    return name, dtype


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
    imported.add_argument("--tracking-uri", help="where MLflow keeps its runs; ./mlruns by default")
    return parser


def _described() -> argparse.ArgumentParser:
    """Return the options that describe a pipeline that was written elsewhere."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--data", type=Path, help="CSV or Parquet: rows of what the pipeline was fitted on")
    many = partial(parser.add_argument, nargs="+", default=())
    many("--dtypes", metavar="COLUMN=DTYPE", help="pandas dtypes that a CSV lacks")
    many("--nullable", metavar="COLUMN", help="where values may be missing; * for all")
    many("--code", type=Path, metavar="PATH", help="own modules and packages that it needs")
    many("--trust", metavar="TYPE", help="types that a file of skops may hold, by their full names")
    parser.add_argument("--source", help="where the data comes from; the file's name by default")
    return parser


if __name__ == "__main__":
    main()
