"""`python -m worker.verify [--missing] MODEL_DIR`: checks a model directory as a worker does before it loads the model.

With --missing, it prints the distributions that the model needs and that are not installed in a compatible version, as
requirements for pip, one per line.
"""

import argparse
import sys
from pathlib import Path

from shared.card import read_card
from shared.distributions import find_differing_distributions, format_pip_requirements
from shared.errors import ArtifactError
from worker.pool.artifact import verify


def main() -> None:
    """Check the directory, or print the missing distributions."""
    parser = argparse.ArgumentParser(prog="python -m worker.verify", description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--missing", action="store_true", help="print the requirements that pip must install")
    arguments = parser.parse_args()
    try:
        if arguments.missing:
            missing = find_differing_distributions(read_card(arguments.model_dir))
            sys.stdout.writelines(f"{format_pip_requirements([each])}\n" for each in missing)
        else:
            verify(arguments.model_dir)
    except ArtifactError as error:
        sys.exit(f"sepal: {arguments.model_dir}: {error}")


if __name__ == "__main__":
    main()
