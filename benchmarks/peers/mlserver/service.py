"""MLServer with adaptive batching, speaking the V2 inference protocol.
"""

import os

import joblib
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse





class Iris(MLModel):
    """Holds the pipeline and scores the rows of many requests at once."""

    async def load(self) -> bool:
        """Load the pipeline in the process that runs inference."""
        self.pipeline = joblib.load(os.environ["BENCH_MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the rows of a batch, as MLServer has merged them."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        prediction = self.pipeline.predict(rows)
        log_proba = self.pipeline.predict_log_proba(rows)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                NumpyCodec.encode_output("prediction", prediction),
                NumpyCodec.encode_output("log_proba", log_proba),
            ],
        )
