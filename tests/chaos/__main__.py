"""`make chaos`: injects every fault repeatedly, prints the table, and writes it as JSON and Markdown.

python -m tests.chaos --only pool,worker --injections 3
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.serving import machine
from tests.chaos import clock
from tests.chaos.bulk.faults import BULK_FAULTS, BulkFault
from tests.chaos.bulk.rows import BulkReference, Size
from tests.chaos.bulk.run import run_bulk_fault
from tests.chaos.bulk.storage import running_storage
from tests.chaos.clients.faults import CLIENT_FAULTS, ClientFault
from tests.chaos.clients.results import ClientResults
from tests.chaos.clients.run import INJECTIONS, quick_client_site, run_client_fault
from tests.chaos.fault import Fault
from tests.chaos.faults import FAULTS
from tests.chaos.judge import load_reference
from tests.chaos.results import FaultResult, Results
from tests.chaos.run import run_fault
from tests.chaos.site import SETTINGS, running_site
from tests.chaos.table import write_page, write_table
from tests.patience import patience

JSON_FILE: Final = "chaos.json"
PAGE_FILE: Final = "chaos.md"
_SITE_INJECTIONS: Final = 20
_OF_SITE: Final[dict[str, Fault | BulkFault]] = {**FAULTS, **BULK_FAULTS}
_ALL: Final = [*_OF_SITE, *CLIENT_FAULTS]


def main() -> None:
    """Run the faults that the command line selects; exit with 1 if a bar is missed."""
    arguments = _parse()
    faults = [_OF_SITE[name] for name in arguments.only if name in _OF_SITE]
    if any(isinstance(fault, Fault) and fault.has_clocks for fault in faults) and clock.library() is None:
        sys.exit("tests.chaos: faults of clocks need libfaketime: install Debian's package `faketime` or omit them")
    arguments.output.mkdir(parents=True, exist_ok=True)
    missed = _run_site_faults(faults, arguments) if faults else []
    if of_clients := [CLIENT_FAULTS[name] for name in arguments.only if name in CLIENT_FAULTS]:
        missed += _run_client_faults(of_clients, arguments)
    if missed:
        sys.exit("tests.chaos: bars missed:\n" + "\n".join(missed))


def _run_site_faults(faults: Sequence[Fault | BulkFault], arguments: argparse.Namespace) -> list[str]:
    """Inject each fault into a new site; return the missed bars."""
    results = _new_results(arguments)
    for fault in faults:
        print(f"{fault.title} …", flush=True)
        results.faults.append(_run_alone(fault, arguments))
        _print(results.faults[-1])
        results.write(arguments.output / JSON_FILE)
    (arguments.output / PAGE_FILE).write_text(write_page(results))
    print(write_table(results))
    return results.missed()


def _run_client_faults(faults: Sequence[ClientFault], arguments: argparse.Namespace) -> list[str]:
    """Inject the faults between clients and gateways on one site; return the missed bars."""
    today = datetime.now(UTC).date().isoformat()
    results = ClientResults(machine.checked_out_commit(), today, machine.describe(), arguments.seed)
    options = {"seed": arguments.seed, "first": arguments.first, "injections": arguments.injections or INJECTIONS}
    with quick_client_site() as site:
        for fault in faults:
            print(f"{fault.title} (seed {arguments.seed}) …", flush=True)
            results.faults.append(run_client_fault(site, fault, **options))
            print(results.faults[-1].describe(), flush=True)
            results.write(arguments.output)
    print(results.table())
    return results.missed()


def _run_alone(fault: Fault | BulkFault, arguments: argparse.Namespace) -> FaultResult:
    """Inject one fault into a new site."""
    options = {name: getattr(arguments, name) for name in ("rate", "patience")}
    options["injections"] = arguments.injections or _SITE_INJECTIONS
    with tempfile.TemporaryDirectory(prefix="sepal-chaos-") as folder, ExitStack() as stack:
        if isinstance(fault, BulkFault):
            storage = stack.enter_context(running_storage(fault.storage, Path(folder)))
            site = stack.enter_context(running_site(Path(folder), storage=storage))
            reference = BulkReference(site.model_dir)
            return run_bulk_fault(site, storage, fault, reference, size=Size(arguments.bulk_rows), **options)
        site = stack.enter_context(
            running_site(Path(folder), has_clocks=fault.has_clocks, has_short_limits=fault.has_short_limits)
        )
        return run_fault(site, fault, load_reference(site.model_dir), **options)


def _print(result: FaultResult) -> None:
    verdict = result.verdict
    print(
        f"  {result.injections} injections, {verdict.accepted} accepted, {verdict.lost} lost, "
        f"{result.committed_twice} committed twice, {verdict.changed} changed, {verdict.wrong} wrong; "
        f"recovery {result.median} (max {result.slowest}); {result.seconds:.0f} s"
    )
    if (bulk := result.bulk) is not None:
        print(
            f"  bulk: {bulk.uploads} uploads, {bulk.succeeded} succeeded, {bulk.lost} lost, {bulk.wrong} wrong, "
            f"{bulk.left} left over; refused first: {bulk.refusals}; recovery {bulk.median} (max {bulk.slowest})"
        )
    for example in [*verdict.examples, *([] if bulk is None else bulk.examples)]:
        print(f"    {example}")
    sys.stdout.flush()


def _new_results(arguments: argparse.Namespace) -> Results:
    settings = {
        "submissions per second": arguments.rate,
        "seconds of polling at the end": arguments.patience,
        "rows of a bulk prediction": arguments.bulk_rows,
        **SETTINGS,
    }
    today = datetime.now(UTC).date().isoformat()
    is_complete = set(_OF_SITE) <= set(arguments.only)
    return Results(machine.checked_out_commit(), today, machine.describe(), settings, is_complete)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", type=_parse_fault_names, default=_ALL, help=f"any of {','.join(_ALL)}")
    number = f"injections of each fault: {_SITE_INJECTIONS}, or {INJECTIONS} between clients and gateways"
    parser.add_argument("--injections", type=int, help=number)
    parser.add_argument("--seed", type=int, default=1, help="of faults between clients and gateways")
    parser.add_argument("--first", type=int, default=0, help="number of the first injection of these, to repeat one")
    parser.add_argument("--rate", type=float, default=60.0, help="submissions per second")
    parser.add_argument("--patience", type=float, default=patience(), help="seconds to wait for the last results")
    parser.add_argument("--bulk-rows", type=int, default=1_000_000, help="rows of each bulk prediction")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    return parser.parse_args()


def _parse_fault_names(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in _ALL]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; the faults are {', '.join(_ALL)}")
    return names


if __name__ == "__main__":
    main()
