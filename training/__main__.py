"""`python -m training`: writes model directories.

python -m training [RECIPE]                                                  fits a recipe, and prints its evaluation
python -m training card model.joblib --data rows.parquet --name churn --version 3    takes a pipeline pickled elsewhere
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from shared.card import SKOPS_FILE, read_card
from shared.errors import ArtifactError, CannotServe
from training import skops_file
from training.artifact import save
from training.bare import make_card
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render

_DEFAULT: Final = "iris"


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args(sys.argv[1:] or [_DEFAULT])
    try:
        if arguments.command == "card":
            _make_card(arguments)
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
    model_dir = make_card(
        arguments.artifact,
        arguments.models_dir,
        name=arguments.name,
        version=arguments.version,
        data=arguments.data,
        dtypes=dict(map(_pair, arguments.dtypes)),
        nullable="*" in arguments.nullable or arguments.nullable,
        source=arguments.source,
        code=arguments.code,
        trusted_types=arguments.trust,
    )
    card = read_card(model_dir)
    print(f"wrote {model_dir}  {card.digest}")
    trusted = skops_file.untrusted_types(model_dir / SKOPS_FILE) if card.artifact == SKOPS_FILE else []
    setting = f"SEPAL_TRUSTED_TYPES={','.join(trusted)} " if trusted else ""
    print(f"serve it: {setting}make run MODEL={arguments.name}")


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
    card = commands.add_parser("card", parents=[common], help="save a pipeline that was written elsewhere")
    card.add_argument(
        "artifact", type=Path, help="a file of skops, or one that joblib, pickle or cloudpickle wrote: it is unpickled"
    )
    card.add_argument("--name", required=True)
    card.add_argument("--version", required=True)
    card.add_argument("--data", type=Path, help="CSV or Parquet: rows of what the pipeline was fitted on")
    card.add_argument("--dtypes", nargs="+", default=[], metavar="COLUMN=DTYPE", help="pandas dtypes that a CSV lacks")
    card.add_argument(
        "--nullable", nargs="+", default=[], metavar="COLUMN", help="where values may be missing; * for all"
    )
    card.add_argument(
        "--code", nargs="+", default=[], type=Path, metavar="PATH", help="own modules and packages that it needs"
    )
    card.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="TYPE",
        help="types that a file of skops may hold, by their full names",
    )
    card.add_argument("--source", help="where the data comes from; the file's name by default")
    return parser


if __name__ == "__main__":
    main()
