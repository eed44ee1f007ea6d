"""MLServer with adaptive batching, over the V2 inference protocol.

A custom runtime, because the scikit-learn runtime has no `predict_log_proba`. Its JSON library writes infinities as
null. `parallel_workers` is 0, which runs the model in the web process: a separate process had 20 % more throughput at
one connection and a third less at 128; with a data frame it had the same throughput at 128 and less at 32. Batching is
configured in `model-settings.json`: a wait of 1 ms was better than 5 ms at one connection, and equal at more, for a
data frame too. The data frame comes from MLServer's pandas codec.
"""

from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.pipeline import Pipeline


class Predictor(MLModel):
    """Scores the rows of many requests in one call of the pipeline."""

    async def load(self) -> bool:
        """Load the pipeline in the process that runs inference."""
        self.pipeline = Pipeline()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the rows of a batch that MLServer has merged."""
        prediction, log_proba = self.pipeline.outputs(self._decode_input(payload))
        is_text = prediction.dtype == object
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                StringCodec.encode_output("prediction", prediction.tolist())
                if is_text
                else NumpyCodec.encode_output("prediction", prediction),
                NumpyCodec.encode_output("log_proba", log_proba),
            ],
        )

    def _decode_input(self, payload: InferenceRequest) -> Any:
        if self.pipeline.dtypes is None:
            return NumpyCodec.decode_input(payload.inputs[0])
        data = self.decode_request(payload, default_codec=PandasCodec)
        # A column of which all values are missing has another dtype. Converting all columns would take a millisecond.
        wrong = {name: dtype for name, dtype in self.pipeline.dtypes.items() if data[name].dtype != dtype}
        return data.astype(wrong) if wrong else data
