"""Strikes operations of the library one after the other, and records their outcomes."""

from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Any, Final

from tests.chaos.clients import direct
from tests.chaos.clients.draw import Drawn, draw
from tests.chaos.clients.faults import ClientFault
from tests.chaos.clients.judge import ClientVerdict, judge
from tests.chaos.clients.operations import Download, Operation, Phase, Predict, Upload, Wait, WrongResult, check_file
from tests.chaos.clients.rows import ReferencePipeline, Rows
from tests.chaos.clients.site import ClientSite
from tests.chaos.clients.strikes import Plan
from tests.chaos.clients.trial import Connect, Ended, Trial, attempt, early_repeats, files_in, temporary_files_in

_TIMEOUT_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 60.0
_SHORT_RETRY_SECONDS: Final = (0.0, 0.5)  # of a client whose requests are all struck
_OLD: Final = b"what the target held before"


class ClientExperiment:
    """All injections of one fault."""

    def __init__(self, site: ClientSite, fault: ClientFault, folder: Path, seed: int, connect: Connect) -> None:
        """Prepare.

        Args:
            site: without any fault.
            fault: the fault.
            folder: for files of clients.
            seed: of all that is random.
            connect: makes the clients.
        """
        self._site = site
        self._connect = connect
        self._fault = fault
        self._seed = seed
        self._reference = ReferencePipeline(site.model_dir)
        self._sent, self._received, self._temporary = (folder / name for name in ("sent", "received", "temporary"))
        self._done: dict[int, tuple[Rows, str]] = {}
        self._known = {str(each) for each in site.predictions()}
        self._rows: dict[int, Rows] = {}
        self._trials: list[Trial] = []

    def inject(self, number: int) -> Trial:
        """Strike one operation."""
        rng = Random(f"{self._seed} {self._fault.name} {number}")
        for folder in (self._sent, self._received, self._temporary):
            rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        submission = self._site.new_number()
        key = f"key-{submission}"
        operation = self._draw_operation(rng, submission, key)
        drawn = draw(rng, self._fault.kind, self._fault.phase, operation.extent)
        trial = Trial(number, operation.rows.first, key, drawn.lasts, self._fault.phase is Phase.UPLOAD)
        self._trials.append(trial)
        self._strike(rng, trial, operation, drawn)
        if isinstance(operation, Download):
            self._check_download(trial, operation)
        else:
            self._rows[operation.rows.first] = operation.rows
            trial.prediction_id = operation.prediction_id
        trial.left += files_in(self._received, self._temporary)
        self._site.wait_until_whole()
        return trial

    def judge(self) -> ClientVerdict:
        """Judge all injections, when everything is final."""
        self._site.end_connections()
        stored = list(direct.collect(self._site, self._rows, self._reference, self._known))
        keys = [trial.key for trial in self._trials if trial.is_uploaded]
        return judge(self._trials, stored, {key: direct.listed(self._site, key) for key in keys})

    def _draw_operation(self, rng: Random, submission: int, key: str) -> Operation:
        match self._fault.phase:
            case Phase.SUBMISSION:
                return Predict(rng, submission, self._reference)
            case Phase.UPLOAD:
                return Upload(rng, submission, self._sent)
            case Phase.WAIT:
                wait = Wait(rng, submission, self._reference)
                wait.prediction_id = direct.submit(self._site, wait.rows, is_bulk=wait.is_bulk, key=key)
                return wait
        download = Download(rng, *self._done_prediction(rng.choice(Download.N_ROWS)), self._received)
        if rng.random() < 0.3:
            download.target.write_bytes(_OLD)
        return download

    def _done_prediction(self, n_rows: int) -> tuple[Rows, str]:
        """Return a succeeded prediction of `n_rows` rows; always the same one."""
        if n_rows not in self._done:
            rows = Rows(self._site.new_number(), n_rows)
            prediction_id = direct.submit(self._site, rows, is_bulk=True, key="downloads")
            direct.wait_until_final(self._site, prediction_id)
            self._done[n_rows] = rows, prediction_id
            self._known.add(prediction_id)
        return self._done[n_rows]

    def _strike(self, rng: Random, trial: Trial, operation: Operation, drawn: Drawn) -> None:
        site, is_async, is_connected = self._site, rng.random() < 0.3, rng.random() < 0.5
        options: dict[str, Any] = {
            "timeout": _TIMEOUT_SECONDS,
            "retry_for": rng.choice(_SHORT_RETRY_SECONDS) if drawn.lasts else _RETRY_SECONDS,
        }

        def operate() -> None:
            with self._connect(site.url, trial.key, is_async=is_async, **options) as client:
                if is_connected:
                    client.model()
                site.proxy.arm(Plan(operation.matches, drawn.strikes))
                operation.run(client)

        with temporary_files_in(self._temporary):
            attempt(trial, operate)
            seen = site.proxy.disarm()
            if trial.ended is Ended.HUNG:
                site.proxy.cut()
        trial.n_struck = sum(each.was_struck for each in seen)
        trial.early = early_repeats(seen)

    def _check_download(self, trial: Trial, download: Download) -> None:
        """Compare the file of a successful download; after an error, only the old file may exist."""
        target = download.target
        if trial.ended is Ended.RIGHT:
            try:
                check_file(target, download.rows, self._reference)
            except WrongResult as error:
                trial.ended, trial.error = Ended.WRONG, str(error)
        elif target.exists() and target.read_bytes() != _OLD:
            trial.left.append(target.name)
        target.unlink(missing_ok=True)
