"""Formats figures and tables for the reports."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.serving.summary import Spread


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is left-aligned, the others are right-aligned."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_number(value: float, digits: int | None = None) -> str:
    """Format a figure with `digits` decimal places; None for at least three significant digits."""
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def format_spread(spread: Spread, digits: int | None = None) -> str:
    """Format the median, with the lowest and the highest in brackets."""
    median, low, high = (format_number(value, digits) for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low}–{high})"


def format_machine(machine: Mapping[str, str]) -> str:
    """Format the result of `machine.describe`."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory']}, {machine['kernel']}, "
        f"Python {machine['python']}"
    )
