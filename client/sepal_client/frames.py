"""Converts pandas, polars and pyarrow data frames to Arrow streams and back."""

from importlib.util import find_spec
from typing import IO, Any, Final

from sepal_client.errors import InvalidInput
from sepal_client.rows import is_frame, library_name

_BATCH_ROWS: Final = 2**16


def write_arrow(frame: Any, file: IO[bytes]) -> bool:
    """Write a data frame as an Arrow stream, without its index.

    Returns:
        False if pyarrow is needed and not installed; then nothing was written.

    Raises:
        InvalidInput: a column has no Arrow type.
    """
    if library_name(frame) == "polars":
        import polars

        frame.write_ipc_stream(file, compat_level=polars.CompatLevel.oldest())
        return True
    if find_spec("pyarrow") is None:
        return False
    import pyarrow

    try:
        _write_batches(frame, file)
    except (pyarrow.ArrowException, ValueError, TypeError) as error:
        raise InvalidInput(f"The data frame cannot be written as Arrow: {error}.") from error
    return True


def read_arrow(file: IO[bytes], source_frame: Any) -> Any:
    """Read an Arrow stream as a data frame of the same library as `source_frame`, with its index if that is pandas."""
    if library_name(source_frame) == "polars":
        import polars

        return polars.read_ipc_stream(file)
    import pyarrow

    with pyarrow.ipc.open_stream(file) as reader:
        table = reader.read_all()
    if library_name(source_frame) != "pandas":
        return table
    frame = table.to_pandas(self_destruct=True, split_blocks=True)
    frame.index = source_frame.index
    return frame


def check_frame(frame: Any) -> None:
    """Check that a data frame can be sent, and its result read.

    Raises:
        InvalidInput: it is not a data frame, or pyarrow is not installed.
    """
    if not is_frame(frame):
        raise InvalidInput(f"{type(frame).__name__} cannot be scored: give a data frame or the path of a file.")
    if library_name(frame) != "polars" and find_spec("pyarrow") is None:
        raise InvalidInput("Install pyarrow to score this data frame: pip install 'sepal-client[arrow]'.")


def _write_batches(frame: Any, file: IO[bytes]) -> None:
    import pyarrow

    if library_name(frame) == "pandas":
        schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
        parts = (frame.iloc[start : start + _BATCH_ROWS] for start in range(0, len(frame), _BATCH_ROWS))
        batches = (pyarrow.RecordBatch.from_pandas(part, schema, preserve_index=False) for part in parts)
        reader = pyarrow.RecordBatchReader.from_batches(schema, batches)
    else:
        reader = pyarrow.RecordBatchReader.from_stream(frame)
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(file, mode="w"), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
