"""`python -m tests.attack`: runs the table of cases against a gateway; exits with 1 if a case fails.

python -m tests.attack                                  every case, against gateways that it starts
python -m tests.attack --port 8000                      against a gateway with default settings
python -m tests.attack --nginx                          through the nginx of deploy/nginx, which it starts
python -m tests.attack --host sepal --port 443 --tls    through another proxy
python -m tests.attack beside --seconds 60              an honest client beside attacks that go on

A gateway that it did not start needs SEPAL_OPERATOR_TOKEN=open-sesame for the cases of operators.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.attack.attack import attack_address, attack_proxy, attack_site
from tests.attack.beside.run import add_options, run_beside
from tests.attack.case import Case
from tests.attack.cases import GROUPS
from tests.attack.runner import Outcome
from tests.attack.site import proxied_site, running_site
from tests.attack.wire import Target
from tests.served_models import save_model

_SECONDS: Final = 20.0
_SLOWEST: Final = 5


def main() -> None:
    """Run the cases or the measurement that the command line selects."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="where the gateway or proxy listens")
    parser.add_argument("--port", type=int, help="its port; without it, a stack is started")
    parser.add_argument("--tls", action="store_true", help="speak TLS, without verifying the certificate")
    parser.add_argument("--proxied", action="store_true", help="expect a proxy in front; --tls implies it")
    parser.add_argument("--nginx", action="store_true", help="start a stack with nginx in front")
    parser.add_argument("--only", default="", help="run the cases whose group or name contains this text")
    parser.add_argument("--seconds-per-answer", type=float, default=_SECONDS)
    add_options(parser.add_subparsers(dest="command").add_parser("beside", help="an honest client beside attacks"))
    arguments = parser.parse_args()
    if arguments.command == "beside":
        sys.exit(run_beside(arguments))
    cases = _select_cases(arguments.only)
    began = time.monotonic()
    outcomes, faults = _attack(arguments, cases)
    sys.exit(_print_report(outcomes, faults, time.monotonic() - began))


def _select_cases(text: str) -> list[Case]:
    return [case for group, cases in GROUPS.items() for case in cases if text in group or text in case.name]


def _attack(arguments: argparse.Namespace, cases: Sequence[Case]) -> tuple[list[Outcome], list[str]]:
    seconds = arguments.seconds_per_answer
    if arguments.nginx:
        with tempfile.TemporaryDirectory(prefix="sepal-attack-") as folder, proxied_site(Path(folder)) as site:
            return attack_proxy(site, cases, seconds)
    if arguments.port is not None:
        target = Target(arguments.host, arguments.port, arguments.tls, seconds)
        proxied = arguments.proxied or arguments.tls
        return asyncio.run(attack_address(target, cases, proxied=proxied)), []
    with tempfile.TemporaryDirectory(prefix="sepal-attack-") as folder:
        model_dir = save_model(Path(folder) / "models", "iris")
        with running_site(Path(folder), model_dir) as site:
            return attack_site(site, cases, seconds)


def _print_report(outcomes: Sequence[Outcome], faults: Sequence[str], seconds: float) -> int:
    """Print the failures; return the exit code."""
    groups = {case.name: group for group, cases in GROUPS.items() for case in cases}
    failed = [outcome for outcome in outcomes if outcome.faults]
    for outcome in failed:
        case = outcome.case
        print(f"FAILED  {groups[case.name]}: {case.name}  [{case.rfc}]")
        for fault in dict.fromkeys(outcome.faults):
            print(f"        {fault}")
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:_SLOWEST]
    print("slowest: " + ", ".join(f"{outcome.case.name} {outcome.seconds:.1f} s" for outcome in slowest))
    for fault in faults:
        print(f"FAILED  afterwards: {fault}")
    print(f"{len(outcomes)} cases, {len(failed)} failures, {len(faults)} faults afterwards, {seconds:.0f} s")
    return 1 if failed or faults else 0


if __name__ == "__main__":
    main()
