"""`make fuzz`: 5,000 test cases generated from the schema, against a new stack; exits with 1 if one fails.

python -m tests.fuzz --seed 7 --cases 1000 --model penguins
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fuzz.run import TOKEN, Findings, fuzz
from tests.served_models import NAMES, save_model
from tests.stack import running_stack

CASES: Final = 5000
CASES_PER_EXAMPLE: Final = 14  # at least: one for each operation, and those that follow links


def main() -> None:
    """Run the cases that the command line selects."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--cases", type=int, default=CASES, help="the smallest number of cases")
    parser.add_argument("--model", default="iris", choices=NAMES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sepal-fuzz-") as folder:
        findings = _fuzz(Path(folder), arguments)
    print(findings.text)
    print(f"{findings.cases} cases, {findings.failures} failures, {findings.errors} errors; --seed {arguments.seed}")
    if not findings.are_none or findings.cases < arguments.cases:
        sys.exit(1)


def _fuzz(folder: Path, arguments: argparse.Namespace) -> Findings:
    model_dir = save_model(folder / "models", arguments.model)
    examples = arguments.cases // CASES_PER_EXAMPLE
    with running_stack(folder, model_dir, operator_token=TOKEN) as (_, gateway):
        return fuzz(gateway.port, folder, f"--seed={arguments.seed}", examples=examples)


if __name__ == "__main__":
    main()
