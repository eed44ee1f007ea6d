"""The chart of a load test: requests/s and latency over time, from locust's history file.

python -m benchmarks.load.chart .load/tutorial_stats_history.csv docs/benchmarks/load.svg
"""

import argparse
import csv
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

_REQUESTS_NAME: Final = "Aggregated"
_LATENCY_NAME: Final = "submission to result, waiting"
_PERCENTILE_COLORS: Final = {"50%": "#c2185b", "95%": "#1f77b4", "99%": "#9e9e9e"}

Row = dict[str, str]
Points = list[tuple[float, float]]


def main() -> None:
    """Draw the chart to the path on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.chart", description=__doc__)
    parser.add_argument("history", type=Path, help="the file that locust's `--csv` and `--csv-full-history` write")
    parser.add_argument("chart", type=Path, help="the SVG file to write")
    arguments = parser.parse_args()
    with arguments.history.open(newline="") as file:
        draw(list(csv.DictReader(file)), arguments.chart)


def draw(history: Sequence[Row], path: Path) -> None:
    """Write the chart as SVG; the same history gives the same bytes."""
    mpl.rcParams["svg.hashsalt"] = "sepal"
    canvas = Canvas(figsize=(11, 4.2), facecolor="white", layout="constrained")
    rate, latency = canvas.subplots(1, 2)
    totals = _rows_with_users(history, _REQUESTS_NAME)
    users = rate.twinx()
    users.fill_between(*_split_points(_read_points(totals, _user_count)), color="#eeeeee", linewidth=0)
    users.set_ylim(bottom=0)
    users.set_ylabel("users", color="#757575")
    users.spines[["top", "right"]].set_visible(False)
    rate.set_zorder(users.get_zorder() + 1)
    rate.patch.set_visible(False)
    rate.plot(*_split_points(_request_rates(totals)), color="#c2185b", linewidth=1.6)
    rate.set_ylim(bottom=0)
    _finish_panel(rate, "Requests per second; shaded: users")
    for percentile, color in _PERCENTILE_COLORS.items():
        points = [
            point
            for point in _read_points(_rows_with_users(history, _LATENCY_NAME), _column_reader(percentile))
            if point[1] > 0
        ]
        latency.plot(*_split_points(points), color=color, linewidth=1.6, label=f"{percentile[:-1]}th percentile")
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter("{x:,g}")
    latency.legend(frameon=False)
    _finish_panel(latency, "From submission to result, ms; percentiles of the last 10 s")
    canvas.savefig(path, metadata={"Date": None})


def _finish_panel(panel: Any, title: str) -> None:
    panel.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel("seconds")
    panel.set_title(title, loc="left", fontsize=11)


def _rows_with_users(history: Sequence[Row], name: str) -> list[Row]:
    """Return the rows with this name, from the time that users were running."""
    return [row for row in history if row["Name"] == name and int(row["User Count"]) > 0]


def _read_points(rows: Sequence[Row], read_value: Callable[[Row], float]) -> Points:
    began = int(rows[0]["Timestamp"])
    return [(int(row["Timestamp"]) - began, read_value(row)) for row in rows]


def _request_rates(rows: Sequence[Row]) -> Points:
    """Return the rate between consecutive rows; locust resets the total when the measurement starts."""
    totals = _read_points(rows, _column_reader("Total Request Count"))
    steps = itertools.pairwise(totals)
    return [(now, (count - before) / (now - then)) for (then, before), (now, count) in steps if count >= before]


def _user_count(row: Row) -> float:
    return float(row["User Count"])


def _column_reader(column: str) -> Callable[[Row], float]:
    return lambda row: 0.0 if row[column] == "N/A" else float(row[column])


def _split_points(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


if __name__ == "__main__":
    main()
