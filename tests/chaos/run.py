"""Plays one fault: traffic, the fault again and again, and the judgement."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.chaos.fault import Fault
from tests.chaos.judge import Injection, Own, judge, recoveries
from tests.chaos.observer import Observer
from tests.chaos.results import Row
from tests.chaos.scene import Scene, playing
from tests.chaos.site import Site
from tests.patience import patience as usual_patience

_OVER_SECONDS: Final = 20.0  # above every bar: what is not final by then is waited for at the end


def play(site: Site, fault: Fault, own: Own, *, injections: int, rate: float, patience: float) -> Row:
    """Inject a fault again and again into a site that is whole.

    Args:
        site: left whole, unless the fault was too much for it.
        fault: what to inject.
        own: the pipeline's own answers.
        injections: how often.
        rate: submissions a second.
        patience: seconds that the last results are waited for at the end.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="sepal-chaos-"))
    observer = Observer(site.redis_port)
    try:
        with playing(site, folder, rate, patience) as scene:
            injected = [_inject(scene, fault, number) for number in range(injections)]
        entries = list(scene.ledger.entries.values())
    finally:
        observer.stop()
        shutil.rmtree(folder)
    return Row(
        fault=fault.name,
        title=fault.title,
        injections=len(injected),
        verdict=judge(entries, own),
        committed_twice=observer.twice,
        recoveries=recoveries(entries, injected),
        bar_seconds=fault.recovery_seconds,
        may_lose=fault.may_lose,
        backlog=_backlog(site.redis),
        seconds=round(time.monotonic() - began, 1),
    )


def _inject(scene: Scene, fault: Fault, number: int) -> Injection:
    scene.injection = number
    injection = fault.inject(scene)
    scene.wait(lambda: scene.is_over(injection), _OVER_SECONDS)
    scene.wait(scene.site.is_whole, usual_patience())
    scene.pause(0.2, 0.6)
    return injection


def _backlog(client: Any) -> int:
    counters: dict[bytes, bytes] = client.hgetall("sepal:backlog")
    signs = {True: 1, False: -1}
    return sum(signs[name.startswith(b"accepted")] * int(count) for name, count in counters.items())
