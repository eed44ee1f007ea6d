"""Which predictions share a batch, and in which order batches leave."""

from api.predictions.open_batches import MAX_BATCH_ROWS, OpenBatches
from shared.rows import EncodedRows

MODEL = b"model"


def rows(n_rows: int) -> EncodedRows:
    return EncodedRows(b"", n_rows)


def joined(batches: OpenBatches, *row_counts: int, model: bytes = MODEL) -> None:
    for n_rows in row_counts:
        batches.open_batch(rows(n_rows), model).join(rows(n_rows))


def taken(batches: OpenBatches) -> list[list[int]]:
    sizes = []
    while batches:
        sizes.append([member.n_rows for member in batches.next_batch().members])
    return sizes


async def test_large_and_small_predictions_take_turns() -> None:
    batches = OpenBatches()
    joined(batches, 1000, 1, 1000, 1, 1000, 1)
    assert taken(batches) == [[1, 1, 1], [1000], [1000], [1000]]
    joined(batches, 1000)
    batches.next_batch()
    joined(batches, 1000, 1000, *[1] * (MAX_BATCH_ROWS + 1))
    assert [len(batch) for batch in taken(batches)] in ([MAX_BATCH_ROWS, 1, 1, 1], [1, MAX_BATCH_ROWS, 1, 1])


async def test_no_batch_is_larger_than_the_limit_and_order_is_kept() -> None:
    batches = OpenBatches()
    joined(batches, 500, 500, 500, 24, 600, 424)
    assert taken(batches) == [[24], [500, 500], [500], [600, 424]]


async def test_rows_for_different_models_share_no_batch() -> None:
    batches = OpenBatches()
    joined(batches, 1)
    joined(batches, 2, 3, model=b"another")
    assert taken(batches) == [[1], [2, 3]]


async def test_every_prediction_of_a_batch_has_its_own_index_and_secret() -> None:
    batches = OpenBatches()
    ids = [batches.open_batch(rows(1), MODEL).join(rows(1)).prediction_id for _ in range(100)]
    assert [prediction_id.index for prediction_id in ids] == list(range(100))
    assert len({prediction_id.secret for prediction_id in ids}) == 100
    assert {len(str(prediction_id)) for prediction_id in ids} == {40}
