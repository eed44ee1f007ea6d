"""The peers; each is started as documented, in a separate environment."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.systems import Program, Site, System, encode_plain_body, read_plain_outputs
from benchmarks.serving.workload import ROOT, Dtypes, Outputs, Rows
from local import broker

FOLDER: Final = ROOT / "benchmarks" / "peers"
_PIN_PATTERN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;#]+)", re.MULTILINE)
_V2_TYPES: Final = {"float64": "FP64", "int64": "INT64", "str": "BYTES"}


def read_pins(path: Path) -> dict[str, str]:
    """Read the `name==version` lines of a requirements file."""
    return dict(_PIN_PATTERN.findall(path.read_text()))


def _uvicorn_program(name: str, site: Site, workers: int = 1, **environment: str) -> Program:
    options = ["--host", "127.0.0.1", "--port", str(site.port), "--no-access-log", "--workers", str(workers)]
    return _python_program(name, site, ["-m", "uvicorn", "service:app", *options], **environment)


def _python_program(name: str, site: Site, arguments: Sequence[str], **environment: str) -> Program:
    settings = {"BENCH_MODEL": str(site.model), "BENCH_DTYPES": json.dumps(site.dtypes), "PYTHONPATH": str(ROOT)}
    return Program(name, [str(site.python), *arguments], FOLDER / name, {**settings, **environment})


def _celery_get_programs(site: Site) -> list[Program]:
    """Return the programs: a Redis without persistence, which favours this peer; the worker; the web process."""
    url = f"redis://127.0.0.1:{site.redis_port}/0"
    server = [broker.server_path(), "--port", str(site.redis_port), "--bind", "127.0.0.1", "--save", ""]
    worker = ["-m", "celery", "--app", "tasks", "worker", "--concurrency", "1"]
    return [
        Program("broker", server, site.folder, port=site.redis_port),
        _python_program("celery_get", site, worker, BENCH_REDIS_URL=url),
        _uvicorn_program("celery_get", site, BENCH_REDIS_URL=url),
    ]


def _bentoml_programs(site: Site) -> list[Program]:
    options = ["--host", "127.0.0.1", "--port", str(site.port)]
    return [
        _python_program(
            "bentoml",
            site,
            ["-m", "bentoml", "serve", "service:Predictor", *options],
            BENTOML_HOME=str(site.folder),
            BENTOML_DO_NOT_TRACK="True",
        )
    ]


def _mlserver_programs(site: Site) -> list[Program]:
    grpc_port, metrics_port = site.other_ports[:2]
    return [
        _python_program(
            "mlserver",
            site,
            ["-m", "mlserver.cli.main", "start", "."],
            MLSERVER_HOST="127.0.0.1",
            MLSERVER_HTTP_PORT=str(site.port),
            MLSERVER_GRPC_PORT=str(grpc_port),
            MLSERVER_METRICS_PORT=str(metrics_port),
            MLSERVER_PARALLEL_WORKERS="0",
            MLSERVER_DEBUG="false",
        )
    ]


def _mosec_programs(site: Site) -> list[Program]:
    options = ["--address", "127.0.0.1", "--port", str(site.port), "--path", str(site.folder / "socket")]
    return [_python_program("mosec", site, ["service.py", *options])]


def _read_records(body: Any) -> Outputs:
    """Parse BentoML's response: one record per row."""
    log_proba = [[float(value) for value in row["log_proba"]] for row in body]
    return Outputs([row["prediction"] for row in body], log_proba)


def _encode_v2_body(rows: Rows, dtypes: Dtypes) -> str:
    """Return a V2 request body: one tensor for a matrix; for a data frame, one per column, for the pandas codec."""
    if dtypes is None:
        tensor = {"name": "data", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": list(chain(*rows))}
        return json.dumps({"inputs": [tensor]})
    columns = [
        {"name": name, "shape": [len(rows), 1], "datatype": _V2_TYPES[dtype], "data": values}
        for (name, dtype), values in zip(dtypes.items(), zip(*rows, strict=True), strict=True)
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": columns})


def _read_v2_outputs(body: Any) -> Outputs:
    """Parse MLServer's response: tensors, in which its JSON library writes infinities as null."""
    prediction, log_proba = (output["data"] for output in body["outputs"])
    classes = body["outputs"][1]["shape"][1]
    values = [-inf if value is None else float(value) for value in log_proba]
    return Outputs(prediction, [values[begin : begin + classes] for begin in range(0, len(values), classes)])


def _new_peer(
    name: str,
    title: str,
    programs: Callable[[Site], Sequence[Program]],
    *,
    path: str = "/predict",
    body: Callable[[Rows, Dtypes], str] = encode_plain_body,
    read: Callable[[Any], Outputs | None] = read_plain_outputs,
    folder: Path | None = None,
) -> System:
    folder = folder or FOLDER / name

    def versions() -> Mapping[str, str]:
        return read_pins(folder / "requirements.in")

    return System(name, title, programs, path, body, read, folder / "requirements.txt", versions)


PEERS: Final = (
    _new_peer("in_process", "FastAPI, in process", lambda site: [_uvicorn_program("in_process", site)]),
    _new_peer(
        "in_process_cores",
        "FastAPI, in process, one process per core",
        lambda site: [_uvicorn_program("in_process", site, len(os.sched_getaffinity(0)))],
        folder=FOLDER / "in_process",
    ),
    _new_peer("celery_get", "FastAPI + Celery, `.get()`", _celery_get_programs),
    _new_peer("mosec", "Mosec", _mosec_programs, path="/inference"),
    _new_peer("litserve", "LitServe", lambda site: [_python_program("litserve", site, ["service.py", str(site.port)])]),
    _new_peer("bentoml", "BentoML", _bentoml_programs, read=_read_records),
    _new_peer(
        "mlserver",
        "MLServer",
        _mlserver_programs,
        path="/v2/models/pipeline/infer",
        body=_encode_v2_body,
        read=_read_v2_outputs,
    ),
    _new_peer(
        "constant", "uvicorn, constant answer", lambda site: [_uvicorn_program("constant", site)], read=lambda _: None
    ),
)
