"""Figures and tables as the reports write them."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.serving.summary import Spread


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose first column is text and whose others are figures."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_number(value: float, digits: int | None = None) -> str:
    """Write a figure with so many digits after the point; None for three significant ones at least."""
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"


def format_spread(spread: Spread, digits: int | None = None) -> str:
    """Write the median, and the lowest and the highest in brackets."""
    median, low, high = (format_number(value, digits) for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low}–{high})"


def format_machine(machine: Mapping[str, str]) -> str:
    """Write what `machine.describe` has found."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory']}, {machine['kernel']}, "
        f"Python {machine['python']}"
    )
