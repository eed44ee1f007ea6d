"""Runs the whole table of cases against a site or an address."""

import asyncio
from collections.abc import Sequence

from tests.attack.case import Case, On, Proxied
from tests.attack.cases import GROUPS
from tests.attack.runner import Outcome, Runner
from tests.attack.site import ProxiedSite, Site
from tests.attack.wire import Target


def attack_site(site: Site, cases: Sequence[Case], seconds: float) -> tuple[list[Outcome], list[str]]:
    """Run cases against the gateways of a site.

    Returns:
        The outcome of each case, and the faults of the site afterwards.
    """
    names = {case.name for case in cases}
    outcomes: list[Outcome] = []
    faults: list[str] = []
    for group, members in GROUPS.items():
        chosen = [case for case in members if case.name in names]
        if not chosen:
            continue
        before = site.accepted_rows
        runners = {on: Runner(Target("127.0.0.1", site.gateways[on].port, seconds=seconds)) for on in On}
        shown = asyncio.run(_run(runners, chosen))
        accepted, answered = site.accepted_rows - before, sum(outcome.accepted_rows for outcome in shown)
        honest = sum(runner.totals.other_rows for runner in runners.values())
        if accepted != answered + honest:
            faults.append(f"{group}: the store accepted {accepted - honest} rows, and {answered} were answered")
        outcomes += shown
    return outcomes, faults + site.faults()


def attack_proxy(site: ProxiedSite, cases: Sequence[Case], seconds: float) -> tuple[list[Outcome], list[str]]:
    """Run cases through a proxy; return their outcomes, and the faults of the gateway afterwards."""
    target = Target("127.0.0.1", site.proxy.port, tls=True, seconds=seconds)
    return asyncio.run(attack_address(target, cases, proxied=True)), site.faults()


async def attack_address(target: Target, cases: Sequence[Case], *, proxied: bool) -> list[Outcome]:
    """Run the cases for a gateway with default settings, or for a proxy in front of it."""
    skipped = {Proxied.SKIP} if proxied else set()
    chosen = [case for case in cases if case.on is On.DEFAULT and case.proxied not in skipped]
    return await Runner(target, proxied=proxied).run(chosen)


async def _run(runners: dict[On, Runner], cases: Sequence[Case]) -> list[Outcome]:
    shown = await asyncio.gather(
        *(runner.run([case for case in cases if case.on is on]) for on, runner in runners.items())
    )
    return [outcome for outcomes in shown for outcome in outcomes]
