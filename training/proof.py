"""Proves that a model directory is served exactly, before it is published.

rows of X ──▶ a request ──▶ the gateway's encoder ──▶ the worker's decoder and pipeline, in new processes
      └────▶ the pipeline as it is in memory ─────────────────────────────────────────────▶ compared, bit for bit
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import joblib
import numpy as np
from joblib import parallel_config
from threadpoolctl import threadpool_limits

from shared.card import ModelCard
from shared.errors import CannotServe
from shared.names import Output
from shared.rows import Row
from training.outputs import call

MAX_ITEMS: Final = 10_000
"""Numbers that one output may have for a row: as JSON, a batch of such rows has 100 MB."""
PYTHON: Final = (sys.executable, "-m")
"""The beginning of the command of a new process; a module and its arguments follow."""
_ROOT: Final = Path(__file__).parent.parent


class Proved(NamedTuple):
    """What a proof found."""

    versions: dict[str, str]
    """Of the distributions that the artifact needs, by name."""
    outputs: tuple[Output, ...]
    """Those that are served."""


def prove(
    model_dir: Path, card: ModelCard, pipeline: Any, X: Any, rows: list[Row], trusted_types: Collection[str] = ()
) -> Proved:
    """Compare what serving answers with what the pipeline answers directly.

    An output that clients get only on request, and that cannot be served exactly, is left out with a warning.

    Args:
        model_dir: the directory to prove, with artifact and card.
        card: its card.
        pipeline: the pipeline in memory.
        X: some rows of the training data, in the form in which the pipeline takes them.
        rows: the same rows as clients send them.
        trusted_types: as for `save`.

    Raises:
        CannotServe: they differ, or the artifact cannot be loaded in another process.
    """
    expected, report = model_dir / "expected.joblib", model_dir / "report.json"
    try:
        # Both import their libraries while this process predicts. They begin when the encoder has its body.
        with (
            _process("api.encode", [model_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as encoder,
            _process(
                "worker.prove", [model_dir, expected, report, *trusted_types], stdin=encoder.stdout, stdout=None
            ) as prover,
        ):
            if encoder.stdout is not None:
                encoder.stdout.close()  # the prover's now
            outputs, left_out = _outputs(card, pipeline, X)
            joblib.dump((X, outputs), expected)
            refusal = _finish(encoder, json.dumps({"data": rows}).encode())
            difference = _finish(prover)
        # The prover's first: when it refuses the model before it reads, the encoder fails at its broken pipe.
        for problem in (difference, refusal):
            if problem:
                reason, _, remedy = problem.partition("\t")
                raise CannotServe(reason, remedy or None)
        found = json.loads(report.read_bytes())
    finally:
        expected.unlink(missing_ok=True)
        report.unlink(missing_ok=True)
    left_out |= found["left_out"]
    for output, reason in left_out.items():
        warnings.warn(f"the output {output} is left out: {reason}", stacklevel=2)
    return Proved(found["versions"], tuple(output for output in card.outputs if output not in left_out))


def _outputs(card: ModelCard, pipeline: Any, X: Any) -> tuple[dict[Output, Any], dict[Output, str]]:
    """Return the outputs of the pipeline in memory, and why others are left out."""
    outputs: dict[Output, Any] = {}
    left_out: dict[Output, str] = {}
    # As a pool process does: one thread for BLAS and OpenMP, and one job.
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        for output in card.outputs:
            try:
                outputs[output] = call(pipeline, output, X)
            except Exception as error:
                left_out[output] = f"the pipeline raises on rows of the data: {' '.join(str(error).split())}"
    if too_wide := [output for output, values in outputs.items() if _n_items(values) > MAX_ITEMS]:
        left_out |= dict.fromkeys(too_wide, f"it has more than {MAX_ITEMS} numbers for each row")
    if refused := [left_out[output] for output in card.default_outputs if output in left_out]:
        raise CannotServe(refused[0], "Give the data that it was fitted on, and a pipeline that takes it.")
    return {output: values for output, values in outputs.items() if output not in left_out}, left_out


def _n_items(values: Any) -> int:
    """Count the numbers that an output has for a row."""
    return sum(_n_items(each) for each in values) if isinstance(values, list) else np.size(values[0])


@contextmanager
def _process(
    module: str, arguments: list[Path | str], *, stdin: int | IO[bytes] | None, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*PYTHON, module, *map(str, arguments)]
    process = subprocess.Popen(  # noqa: S603 - our own modules
        command, cwd=_ROOT, env=os.environ, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _finish(process: subprocess.Popen[bytes], sent: bytes | None = None) -> str:
    """Wait for the end of a process; returns the last line that it wrote if it failed, else nothing."""
    errors = process.communicate(sent)[1].decode(errors="replace").strip().splitlines()
    if process.returncode < 0:
        return f"the new process that proves the model was ended by signal {-process.returncode}"
    if process.returncode:
        return errors[-1] if errors else f"the new process that proves the model failed ({process.returncode})"
    return ""
