"""`make fuzz-parsers`: draws inputs for each parser for ten minutes; stops at the first input that fails.

python -m tests.fuzz.parsers --seconds 60 --only prefer,ids
"""

import argparse
import time
from typing import Final

from tests.fuzz.parsers.parsers import PARSERS
from tests.fuzz.parsers.properties import run_for

_SECONDS: Final = 600.0


def main() -> None:
    """Run the fuzzers that the command line selects, one after the other."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.parsers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each parser")
    parser.add_argument("--only", default=",".join(PARSERS), help="names of parsers, separated by commas")
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        began = time.monotonic()
        n_checked = run_for(arguments.seconds, PARSERS[name])
        print(f"{name}: {n_checked} inputs in {time.monotonic() - began:.0f} s, no failure", flush=True)


if __name__ == "__main__":
    main()
