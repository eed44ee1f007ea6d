"""The load test draws rows from the model card of any model."""

import json
from pathlib import Path

from benchmarks.load.rows import row_drawer
from shared.card import ModelCard, read_card


def draw(card: ModelCard, n_rows: int) -> list[list[object]]:
    drawn = row_drawer(json.loads(card.model_dump_json(by_alias=True)))
    return [drawn() for _ in range(n_rows)]


def test_rows_of_a_table_have_its_categories_and_its_share_of_missing_values(penguins_dir: Path) -> None:
    rows = draw(read_card(penguins_dir), 500)
    islands, masses, years = ({row[index] for row in rows} for index in (0, 4, 6))
    assert islands == {"Biscoe", "Dream", "Torgersen"}
    assert years == {2007, 2008, 2009}
    numbers = [mass for mass in masses if isinstance(mass, float)]
    assert len(numbers) > 400
    assert all(2700 <= number <= 6300 for number in numbers)
    assert any(row[5] is None for row in rows)


def test_rows_of_a_matrix_differ_and_are_complete(iris_dir: Path) -> None:
    rows = draw(read_card(iris_dir), 100)
    assert len({tuple(row) for row in rows}) == 100
    assert all(isinstance(value, float) for row in rows for value in row)
