"""Which predictions share a batch, and in which order batches leave."""

from api.predictions.open_batches import MAX_BATCH_ROWS, OpenBatches
from shared.rows import EncodedRows

MODEL = b"model"


def rows(n_rows: int) -> EncodedRows:
    return EncodedRows(b"", n_rows)


def join(batches: OpenBatches, *row_counts: int, model: bytes = MODEL) -> None:
    for n_rows in row_counts:
        batches.find_or_open(rows(n_rows), model).join(rows(n_rows))


def take_all(batches: OpenBatches) -> list[list[int]]:
    sizes = []
    while batches:
        sizes.append([member.n_rows for member in batches.pop_next().members])
    return sizes


async def test_batches_of_large_and_small_predictions_leave_alternately() -> None:
    batches = OpenBatches()
    join(batches, 1000, 1, 1000, 1, 1000, 1)
    assert take_all(batches) == [[1, 1, 1], [1000], [1000], [1000]]
    join(batches, 1000)
    batches.pop_next()
    join(batches, 1000, 1000, *[1] * (MAX_BATCH_ROWS + 1))
    assert [len(batch) for batch in take_all(batches)] in ([MAX_BATCH_ROWS, 1, 1, 1], [1, MAX_BATCH_ROWS, 1, 1])


async def test_batches_stay_within_the_row_limit_and_keep_the_order() -> None:
    batches = OpenBatches()
    join(batches, 500, 500, 500, 24, 600, 424)
    assert take_all(batches) == [[24], [500, 500], [500], [600, 424]]


async def test_rows_for_different_models_do_not_share_a_batch() -> None:
    batches = OpenBatches()
    join(batches, 1)
    join(batches, 2, 3, model=b"another")
    assert take_all(batches) == [[1], [2, 3]]


async def test_every_prediction_of_a_batch_has_a_different_index_and_secret() -> None:
    batches = OpenBatches()
    ids = [batches.find_or_open(rows(1), MODEL).join(rows(1)).prediction_id for _ in range(100)]
    assert [prediction_id.index for prediction_id in ids] == list(range(100))
    assert len({prediction_id.secret for prediction_id in ids}) == 100
    assert {len(str(prediction_id)) for prediction_id in ids} == {40}
