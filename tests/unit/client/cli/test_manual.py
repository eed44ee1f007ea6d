"""The help is complete and starts quickly, and shells complete the commands."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sepal_client.cli.commands import create_app
from tests.stack import ROOT, clean_environment

COMMANDS = ["predict", "score", "watch", "results", "cancel", "list", "model", "status", "dead-letters"]
SLOW = {"httpx", "pydantic", "rich", "sepal_client._sync.client", "numpy", "pandas", "polars", "pyarrow"}


def shown(*words: str) -> str:
    """Return what a command prints."""
    return CliRunner().invoke(create_app(), [*words], prog_name="sepal").output


def test_help_lists_the_commands_in_groups() -> None:
    lines = shown("--help").splitlines()
    groups = {line: lines.index(line) for line in ("Predict:", "Predictions:", "Service:", "Options:", "Exit codes:")}
    assert sorted(groups.values()) == list(groups.values())
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in COMMANDS]
    assert listed == COMMANDS


def test_help_documents_examples_and_the_environment() -> None:
    text = shown("--help")
    for word in ("SEPAL_URL", "SEPAL_API_KEY", "SEPAL_OPERATOR_TOKEN", "sepal score flowers.csv -o scored.parquet"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_a_usage_line_and_lists_what_all_share(command: str) -> None:
    words = [command, "list"] if command == "dead-letters" else [command]
    text = shown(*words, "--help")
    assert text.startswith(f"Usage: sepal {' '.join(words)} [OPTIONS]")
    for option in ("--url", "--api-key", "--timeout", "--json"):
        assert option in text


def test_command_without_arguments_shows_the_help() -> None:
    assert "Exit codes:" in shown()


def test_wrong_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(create_app(), ["scroe"], prog_name="sepal")
    assert result.exit_code == 2
    assert "Did you mean 'score'?" in result.output


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys; from sepal_client.cli.commands import create_app; create_app()(['--help'], standalone_mode=False)"
    )
    report = f"{program}; print(sorted({SLOW} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", report],
        cwd=ROOT,
        env=clean_environment() | {"PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("typed", "completed"), [("sepal sc", "score"), ("sepal dead-letters rep", "replay")])
def test_shell_completes_names_of_commands(typed: str, completed: str) -> None:
    environment = {"_SEPAL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = CliRunner().invoke(create_app(), [], prog_name="sepal", env=environment)
    assert (done.output.split(), done.exit_code) == ([completed], 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_the_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else typer looks for the shell above this process, and there may be none that it knows.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "_SEPAL_COMPLETE" in shown("--show-completion", shell)
