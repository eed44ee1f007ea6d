"""Proves that a model directory is served exactly, before it is published.

rows of X ──▶ a request ──▶ the gateway's encoder ──▶ the worker's decoder and pipeline, in a new process
      └────▶ the pipeline as it is in memory ─────────────────────────────────────────────▶ compared, bit for bit
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from joblib import parallel_config
from threadpoolctl import threadpool_limits

from shared.card import ModelCard
from shared.errors import CannotServe
from shared.rows import Row

_ROOT: Final = Path(__file__).parent.parent
_LAST_LINES: Final = 3


def prove(model_dir: Path, card: ModelCard, pipeline: Any, X: Any, rows: list[Row]) -> None:
    """Compare what serving answers with what the pipeline answers directly.

    Args:
        model_dir: the directory to prove, with artifact and card.
        card: its card.
        pipeline: the pipeline in memory.
        X: some rows of the training data, in the form in which the pipeline takes them.
        rows: the same rows as clients send them.

    Raises:
        CannotServe: they differ, or the artifact cannot be loaded in another process.
    """
    expected = model_dir / "expected.joblib"
    try:
        try:
            joblib.dump((X, *_outputs(card, pipeline, X)), expected)
        except Exception as error:
            raise CannotServe(
                f"the pipeline raises on rows of X: {error}", "Give the X that it was fitted on."
            ) from error
        encoded = _run("api.encode", [str(model_dir)], json.dumps({"data": rows}).encode())
        _run("worker.prove", [str(model_dir), str(expected)], encoded)
    finally:
        expected.unlink(missing_ok=True)


def _outputs(card: ModelCard, pipeline: Any, X: Any) -> tuple[Any, Any]:
    # As a pool process does: one thread for BLAS and OpenMP, and one job.
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        labels = np.asarray(pipeline.predict(X))
        if "log_proba" not in card.outputs:
            return labels, None
        if hasattr(pipeline, "predict_log_proba"):
            return labels, np.asarray(pipeline.predict_log_proba(X))
        return labels, np.log(pipeline.predict_proba(X))


def _run(module: str, arguments: list[str], sent: bytes) -> bytes:
    done = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=os.environ,
        input=sent,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it was killed"]
        problem, _, remedy = lines[-1].partition("\t")
        raise CannotServe(problem, remedy or None)
    return done.stdout
