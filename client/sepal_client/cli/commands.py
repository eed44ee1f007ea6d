"""Builds the command line `sepal` from its commands."""

from typing import Annotated

import typer

from sepal_client.cli import cluster, dead_letters, predict, results, score
from sepal_client.cli.manual import HELP_WIDTH, OVERVIEW, DocumentedGroup
from sepal_client.cli.session import register_command

_ANY_VALUE_SETTINGS = {"ignore_unknown_options": True}  # so that -1.5 is a value
_GROUP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"sepal {version('sepal-client')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")]


def create_app() -> typer.Typer:
    """Return the command line."""
    app = _new_group(OVERVIEW)
    app.callback()(_root_command)
    register_command(
        app, predict.predict, "predict", group="Predict", examples=predict.EXAMPLES, settings=_ANY_VALUE_SETTINGS
    )
    register_command(app, score.score, "score", group="Predict", examples=score.EXAMPLES)
    register_command(app, results.watch, "watch", group="Predictions")
    register_command(app, results.results, "results", group="Predictions", examples=results.RESULTS_EXAMPLES)
    register_command(app, results.cancel, "cancel", group="Predictions")
    register_command(app, results.list_predictions, "list", group="Predictions", examples=results.LIST_EXAMPLES)
    register_command(app, cluster.model, "model", group="Service")
    register_command(app, cluster.status, "status", group="Service", examples=cluster.STATUS_EXAMPLES)
    app.add_typer(_new_dead_letters_group(), name="dead-letters", rich_help_panel="Service")
    return app


def _root_command(
    version: Version = False,
) -> None:
    """Predict one row, or a file of millions of rows, with the model of a Sepal service."""


def _new_dead_letters_group() -> typer.Typer:
    app = _new_group(dead_letters.EXAMPLES)
    app.callback(
        help="List, show, replay and discard dead letters: batches whose attempts are used up. For operators."
    )(_do_nothing)
    register_command(app, dead_letters.list_all, "list")
    register_command(app, dead_letters.show_one, "show")
    register_command(app, dead_letters.replay, "replay")
    register_command(app, dead_letters.discard, "discard")
    return app


def _new_group(epilog: str) -> typer.Typer:
    return typer.Typer(
        cls=DocumentedGroup,
        epilog=epilog,
        no_args_is_help=True,
        context_settings=_GROUP_SETTINGS,
        rich_markup_mode=None,  # rich's help takes 0.4 s
        pretty_exceptions_enable=False,  # print Python's own traceback, for bug reports
    )


def _do_nothing() -> None:
    """Run nothing: the group has only options and subcommands."""
