"""Proves that a model directory is served exactly, before it is published.

rows of X ──▶ a request ──▶ the gateway's encoder ──▶ the worker's decoder and pipeline, in new processes
      └────▶ the pipeline as it is in memory ─────────────────────────────────────────────▶ compared, bit for bit
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import joblib
import numpy as np
from joblib import parallel_config
from threadpoolctl import threadpool_limits

from shared.card import ModelCard
from shared.errors import CannotServe
from shared.rows import Row

_ROOT: Final = Path(__file__).parent.parent


def prove(
    model_dir: Path, card: ModelCard, pipeline: Any, X: Any, rows: list[Row], trusted_types: Collection[str] = ()
) -> dict[str, str]:
    """Compare what serving answers with what the pipeline answers directly.

    Args:
        model_dir: the directory to prove, with artifact and card.
        card: its card.
        pipeline: the pipeline in memory.
        X: some rows of the training data, in the form in which the pipeline takes them.
        rows: the same rows as clients send them.
        trusted_types: as for `save`.

    Returns:
        The versions of the distributions that the artifact needs, by name.

    Raises:
        CannotServe: they differ, or the artifact cannot be loaded in another process.
    """
    expected, used = model_dir / "expected.joblib", model_dir / "used.json"
    try:
        # Both import their libraries while this process predicts. They begin when the encoder has its body.
        with (
            _process("api.encode", [model_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as encoder,
            _process(
                "worker.prove", [model_dir, expected, used, *trusted_types], stdin=encoder.stdout, stdout=None
            ) as prover,
        ):
            if encoder.stdout is not None:
                encoder.stdout.close()  # the prover's now
            joblib.dump((X, *_outputs(card, pipeline, X)), expected)
            refusal = _finish(encoder, json.dumps({"data": rows}).encode())
            difference = _finish(prover)
        for problem in (refusal, difference):
            if problem:
                reason, _, remedy = problem.partition("\t")
                raise CannotServe(reason, remedy or None)
        versions: dict[str, str] = json.loads(used.read_bytes())
        return versions
    finally:
        expected.unlink(missing_ok=True)
        used.unlink(missing_ok=True)


def _outputs(card: ModelCard, pipeline: Any, X: Any) -> tuple[Any, Any]:
    # As a pool process does: one thread for BLAS and OpenMP, and one job.
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        try:
            labels = np.asarray(pipeline.predict(X))
            if "log_proba" not in card.outputs:
                return labels, None
            if hasattr(pipeline, "predict_log_proba"):
                return labels, np.asarray(pipeline.predict_log_proba(X))
            return labels, np.log(pipeline.predict_proba(X))
        except Exception as error:
            raise CannotServe(
                f"the pipeline raises on rows of X: {' '.join(str(error).split())}",
                "Give the X that it was fitted on.",
            ) from error


@contextmanager
def _process(
    module: str, arguments: list[Path | str], *, stdin: int | IO[bytes] | None, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
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
