"""Proves, before a model directory is published, that serving returns the pipeline's exact outputs.

rows of X ──▶ a request ──▶ the gateway's encoder ──▶ the worker's decoder and pipeline, in new processes
      └────▶ the pipeline as it is in memory ─────────────────────────────────────────────▶ compared, bit for bit
"""

import copy
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
from sklearn import get_config
from threadpoolctl import threadpool_limits

from shared.card import ModelCard
from shared.errors import CannotServe
from shared.names import Output
from shared.rows import Row
from training.outputs import compute_output

MAX_ITEMS_PER_ROW: Final = 10_000
"""The most numbers that an output may have for a row: as JSON, a batch of such rows takes 100 MB."""
PYTHON_COMMAND: Final = (sys.executable, "-m")
"""The command of a new process, without the module and its arguments."""
_DATA_REMEDY: Final = "Give the data that it was fitted on, and a pipeline that takes it."
_WIDTH_REMEDY: Final = "Add a step that returns fewer, or end the pipeline in a model that predicts."
_CONFIGURATION_REMEDY: Final = (
    "This process has set transform_output for all estimators, and a worker does not: set it for the pipeline, "
    "with pipeline.set_output(transform=…), and fit it again."
)
_ROOT: Final = Path(__file__).parent.parent


class ProofResult(NamedTuple):
    """The result of a proof."""

    versions: dict[str, str]
    """Versions of the distributions that the artifact needs, by name."""
    outputs: tuple[Output, ...]
    """The outputs that can be served."""


def prove(
    model_dir: Path, card: ModelCard, pipeline: Any, X: Any, rows: list[Row], trusted_types: Collection[str] = ()
) -> ProofResult:
    """Compare the outputs of serving with those of the pipeline in memory.

    An output that is not a default one, and cannot be served exactly, is left out with a warning.

    Args:
        model_dir: the directory to prove, with artifact and card.
        card: its card.
        pipeline: the pipeline in memory.
        X: some rows of the training data, in the form that the pipeline takes.
        rows: the same rows as clients send them.
        trusted_types: as for `save`.

    Raises:
        CannotServe: the outputs differ, or the artifact cannot be loaded in another process.
    """
    expected, report = model_dir / "expected.joblib", model_dir / "report.json"
    try:
        # Both processes import their libraries while this one predicts; they start when the encoder receives its body.
        with (
            _run_process("api.encode", [model_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as encoder,
            _run_process(
                "worker.prove", [model_dir, expected, report, *trusted_types], stdin=encoder.stdout, stdout=None
            ) as prover,
        ):
            if encoder.stdout is not None:
                encoder.stdout.close()  # now only the prover reads it
            outputs, left_out = _compute_outputs(card, pipeline, X)
            joblib.dump((X, outputs), expected)
            refusal = _wait_for_exit(encoder, json.dumps({"data": rows}).encode())
            difference = _wait_for_exit(prover)
        # The prover's error comes first: if it exits before it reads, the encoder fails with a broken pipe.
        for problem in (difference, refusal):
            if problem:
                reason, _, remedy = problem.partition("\t")
                is_set = get_config()["transform_output"] != "default"
                raise CannotServe(reason, _CONFIGURATION_REMEDY if is_set else remedy or None)
        found = json.loads(report.read_bytes())
    finally:
        expected.unlink(missing_ok=True)
        report.unlink(missing_ok=True)
    left_out |= found["left_out"]
    for output, reason in left_out.items():
        warnings.warn(f"the output {output} is left out: {reason}", stacklevel=2)
    return ProofResult(found["versions"], tuple(output for output in card.outputs if output not in left_out))


def _compute_outputs(card: ModelCard, pipeline: Any, X: Any) -> tuple[dict[Output, Any], dict[Output, str]]:
    """Return the outputs of the pipeline in memory, and the reason for each output that is left out."""
    outputs: dict[Output, Any] = {}
    problems: dict[Output, tuple[str, str]] = {}
    # As in a pool process: one thread for BLAS and OpenMP, and one job.
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        for output in card.outputs:
            try:
                values = compute_output(pipeline, output, copy.deepcopy(X))  # a step may write into its input
            except Exception as error:
                reason = f"the pipeline raises on rows of the data: {' '.join(str(error).split())}"
                problems[output] = reason, _DATA_REMEDY
                continue
            if problem := _find_problem(output, values, X.shape[0] if hasattr(X, "shape") else len(X)):
                problems[output] = problem
            else:
                outputs[output] = values
    for output in card.default_outputs:
        if output in problems:
            raise CannotServe(*problems[output])
    return outputs, {output: reason for output, (reason, _) in problems.items()}


def _find_problem(output: Output, values: Any, n_rows: int) -> tuple[str, str] | None:
    """Return why an output of `n_rows` rows cannot be served, and the remedy; None if its size is right."""
    for each in values if isinstance(values, list) else [values]:
        if each.ndim == 0 or len(each) != n_rows:
            return (
                f"the pipeline returns a different number of rows for {output} than it is given",
                CannotServe.labels_remedy,
            )
    if _count_items(values) > MAX_ITEMS_PER_ROW:
        return f"the pipeline returns more than {MAX_ITEMS_PER_ROW} numbers for each row", _WIDTH_REMEDY
    return None


def _count_items(values: Any) -> int:
    """Return how many numbers an output has for one row."""
    return sum(_count_items(each) for each in values) if isinstance(values, list) else np.size(values[0])


@contextmanager
def _run_process(
    module: str, arguments: list[Path | str], *, stdin: int | IO[bytes] | None, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*PYTHON_COMMAND, module, *map(str, arguments)]
    process = subprocess.Popen(  # noqa: S603 - our own modules
        command, cwd=_ROOT, env=os.environ, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _wait_for_exit(process: subprocess.Popen[bytes], stdin_content: bytes | None = None) -> str:
    """Wait until a process exits; return the last line of its stderr if it failed, otherwise an empty string."""
    errors = process.communicate(stdin_content)[1].decode(errors="replace").strip().splitlines()
    if process.returncode < 0:
        return f"the new process that proves the model was killed by signal {-process.returncode}"
    if process.returncode:
        return errors[-1] if errors else f"the new process that proves the model failed ({process.returncode})"
    return ""
