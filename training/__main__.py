"""`python -m training`: fits a recipe on its whole data set, writes the model directory, prints the evaluation."""

import argparse
import sys
from pathlib import Path

from shared.card import read_card
from shared.errors import ArtifactError
from training.artifact import save
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render


def main() -> None:
    """Train the recipe that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("recipe", nargs="?", default="iris", choices=sorted(RECIPES))
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    try:
        train(RECIPES[arguments.recipe], arguments.models_dir)
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


if __name__ == "__main__":
    main()
