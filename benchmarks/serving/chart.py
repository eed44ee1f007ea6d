"""The results as a chart: throughput and median latency by connections, one line per system."""

from pathlib import Path
from typing import Any, Final

from benchmarks.serving.results import Results
from benchmarks.serving.summary import P50, THROUGHPUT, Figure, Summary

_SEPAL_LINE: Final = {"color": "#c2185b", "linewidth": 3.2, "marker": "o", "markersize": 7, "zorder": 3}
_LIMIT_LINE: Final = {"color": "#9e9e9e", "linewidth": 1.4, "linestyle": "--", "marker": "", "zorder": 1}
_PEER_MARKERS: Final = {
    "in_process": ("#1f77b4", "s"),
    "in_process_cores": ("#7fb1d8", "s"),
    "celery_get": ("#8c564b", "v"),
    "mosec": ("#2ca02c", "^"),
    "litserve": ("#ff7f0e", "D"),
    "bentoml": ("#7f5fc0", "P"),
    "mlserver": ("#17a2b8", "X"),
}


def draw(results: Results, path: Path) -> None:
    """Write the chart as SVG; the same results give the same bytes."""
    import matplotlib as mpl  # here, because it takes a second, and most users of this package draw nothing
    from matplotlib.figure import Figure as Canvas

    mpl.rcParams["svg.hashsalt"] = "sepal"
    summary, all_rows = Summary(results), results.plan.rows
    canvas = Canvas(figsize=(11, 4.2 * len(all_rows)), facecolor="white", layout="constrained")
    panels = canvas.subplots(len(all_rows), 2, squeeze=False)
    for line, rows in zip(panels, all_rows, strict=True):
        for panel, figure in zip(line, (THROUGHPUT, P50), strict=True):
            _draw_panel(panel, summary, figure, rows)
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        canvas.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    canvas.savefig(path, metadata={"Date": None})


def _draw_panel(panel: Any, summary: Summary, figure: Figure, rows: int) -> None:
    plan = summary.results.plan
    for system in summary.results.systems:
        spreads = {n: summary.spread(figure, system.name, n, rows) for n in plan.connections}
        points = [(n, spread.median) for n, spread in spreads.items() if spread is not None and spread.median > 0]
        if points:
            panel.plot(*zip(*points, strict=True), label=system.title.replace("`", ""), **_line_style(system.name))
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(plan.connections, [str(n) for n in plan.connections])
    panel.yaxis.set_major_formatter("{x:,g}")
    panel.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel("connections")
    title = "Requests per second" if figure is THROUGHPUT else "Median latency, ms"
    panel.set_title(f"{title}: {rows} {'row' if rows == 1 else 'rows'} a request", loc="left", fontsize=11)


def _line_style(system: str) -> dict[str, Any]:
    if system == "sepal":
        return dict(_SEPAL_LINE)
    if system == "constant":
        return dict(_LIMIT_LINE)
    color, marker = _PEER_MARKERS[system]
    return {"color": color, "marker": marker, "linewidth": 1.6, "markersize": 5, "zorder": 2}
