"""A typed client of Sepal's HTTP interface: predicts rows, scores files and follows their progress.

    from sepal_client import Sepal

    with Sepal("http://127.0.0.1:8000") as sepal:
        print(sepal.predict([[4.8, 3, 1.4, 0.3]]).prediction)
        sepal.score("flowers.csv", "scored.parquet")

`AsyncSepal` has the same methods, with `await` and `async for`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sepal_client._async.client import AsyncSepal
    from sepal_client._async.dead_letters import AsyncDeadLetters
    from sepal_client._async.prediction import AsyncPrediction
    from sepal_client._sync.client import Sepal
    from sepal_client._sync.dead_letters import DeadLetters
    from sepal_client._sync.prediction import Prediction
    from sepal_client.dead_letter import DeadLetterEntry
    from sepal_client.errors import (
        AccessDenied,
        DeadLetterNotFound,
        DownloadIncomplete,
        Fault,
        GatewayError,
        GatewayFault,
        GatewayUnreachable,
        IdempotencyConflict,
        InvalidInput,
        PredictionAlreadyFinal,
        PredictionCanceled,
        PredictionEnded,
        PredictionExpired,
        PredictionFailed,
        PredictionGone,
        PredictionNotFound,
        Problem,
        RequestRefused,
        SepalError,
        Unavailable,
        WaitTimeout,
    )
    from sepal_client.model import Column, Model
    from sepal_client.progress import Progress, State
    from sepal_client.result import ModelRef, Result
    from sepal_client.status import BulkStatus, QueueStatus, ServiceStatus

__all__ = [
    "AccessDenied",
    "AsyncDeadLetters",
    "AsyncPrediction",
    "AsyncSepal",
    "BulkStatus",
    "Column",
    "DeadLetterEntry",
    "DeadLetterNotFound",
    "DeadLetters",
    "DownloadIncomplete",
    "Fault",
    "GatewayError",
    "GatewayFault",
    "GatewayUnreachable",
    "IdempotencyConflict",
    "InvalidInput",
    "Model",
    "ModelRef",
    "Prediction",
    "PredictionAlreadyFinal",
    "PredictionCanceled",
    "PredictionEnded",
    "PredictionExpired",
    "PredictionFailed",
    "PredictionGone",
    "PredictionNotFound",
    "Problem",
    "Progress",
    "QueueStatus",
    "RequestRefused",
    "Result",
    "Sepal",
    "SepalError",
    "ServiceStatus",
    "State",
    "Unavailable",
    "WaitTimeout",
]

_MODULES: Final = {
    "_async.client": ("AsyncSepal",),
    "_async.dead_letters": ("AsyncDeadLetters",),
    "_async.prediction": ("AsyncPrediction",),
    "_sync.client": ("Sepal",),
    "_sync.dead_letters": ("DeadLetters",),
    "_sync.prediction": ("Prediction",),
    "dead_letter": ("DeadLetterEntry",),
    "model": ("Column", "Model"),
    "progress": ("Progress", "State"),
    "result": ("ModelRef", "Result"),
    "status": ("BulkStatus", "QueueStatus", "ServiceStatus"),
}
_MODULE_BY_NAME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `sepal --help` does not wait for the import of httpx."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_BY_NAME.get(name, 'errors')}"), name)
