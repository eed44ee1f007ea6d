"""Formats the help of `sepal`: groups of commands, examples, environment variables and exit codes.

Typer's own help imports rich, which takes 0.4 s.
"""

import re
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from sepal_client.cli.exits import EXIT_CODE_MEANINGS
from sepal_client.cli.terminal import BOLD, apply_style

HELP_WIDTH: Final = 100
"""The greatest width of the help, in columns."""
_BRACES: Final = re.compile(r"^\{(.*)\}$")
_HEADING: Final = re.compile(r"^(\w[^\n]*:)$|^(Usage:)", re.MULTILINE)

OVERVIEW: Final = f"""\
Examples:
  sepal predict 4.8 3 1.4 0.3
  sepal predict --row island=Dream --row bill_length_mm=46.5
  sepal score flowers.csv -o scored.parquet
  cat flowers.csv | sepal score - > scored.csv
  sepal results AaIG… -o scored.parquet

Environment:
  SEPAL_URL             the URL of the gateway; default: http://127.0.0.1:8000
  SEPAL_API_KEY         your API key
  SEPAL_OPERATOR_TOKEN  the operator token, for "sepal dead-letters"
  NO_COLOR              do not print colors

Exit codes:
{chr(10).join(f"  {code.value:<3}  {meaning}" for code, meaning in EXIT_CODE_MEANINGS.items())}

"sepal COMMAND --help" describes a command."""


class DocumentedCommand(TyperCommand):
    """A command whose help ends with examples."""

    def get_help(self, ctx: Any) -> str:
        """Return the help, with bold headings on a terminal."""
        return _make_headings_bold(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, without typer's braces around required arguments."""
        return [_BRACES.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the examples without wrapping lines."""
        _write_unwrapped(self.epilog, formatter)


class DocumentedGroup(TyperGroup):
    """A command with subcommands, which its help lists below headings."""

    def get_help(self, ctx: Any) -> str:
        """Return the help, with bold headings on a terminal."""
        return _make_headings_bold(super().get_help(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands below their headings, and then the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            group = getattr(command, "rich_help_panel", None) or "Commands"
            groups.setdefault(group, []).append((name, command.get_short_help_str(HELP_WIDTH)))
        width = max(len(name) for name in self.list_commands(ctx))
        for group, lines in groups.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, text in lines])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write nothing: `format_options` has written the commands."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the epilog without wrapping lines."""
        _write_unwrapped(self.epilog, formatter)


def _write_unwrapped(text: str | None, formatter: Any) -> None:
    if text:
        formatter.write(f"\n{text}\n")


def _make_headings_bold(text: str) -> str:
    return _HEADING.sub(lambda found: apply_style(found[0], BOLD), text)
