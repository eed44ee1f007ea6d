"""`python -m training`: fits a recipe on its whole data set, writes the model directory, prints the evaluation."""

import argparse
import sys
from pathlib import Path

from shared.card import Data, read_card
from shared.errors import ArtifactError
from training.artifact import save
from training.recipes import RECIPES, Recipe
from training.report import evaluate, render

EXAMPLE_ROWS = 2


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
    bunch = recipe.load()
    evaluation = evaluate(recipe.pipeline(), bunch.data, bunch.target)
    model_dir = save(
        recipe.pipeline().fit(bunch.data, bunch.target),
        models_dir,
        name=recipe.name,
        version=recipe.version,
        features=[str(feature) for feature in bunch.feature_names],
        example=bunch.data[:: len(bunch.data) // EXAMPLE_ROWS][:EXAMPLE_ROWS],
        data=Data(source=recipe.source, rows=len(bunch.data)),
        metrics=evaluation.metrics,
    )
    print(f"{recipe.name} {recipe.version}, {recipe.source}, {len(bunch.data)} rows")
    print(render(evaluation, [str(name) for name in bunch.target_names]))
    print(f"wrote {model_dir}  {read_card(model_dir).digest}")
    return model_dir


if __name__ == "__main__":
    main()
