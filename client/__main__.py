"""`python -m client`: the command line for operators."""

import json
import sys

import click
import httpx

from client.dead_letters import DeadLetterClient, Refused


@click.group()
def main() -> None:
    """Command line for a Sepal gateway."""


@main.group("dead-letters")
@click.option("--url", envvar="SEPAL_URL", default="http://127.0.0.1:8000", show_default=True, help="Gateway URL.")
@click.option("--token", envvar="SEPAL_OPERATOR_TOKEN", required=True, help="The SEPAL_OPERATOR_TOKEN of the gateways.")
@click.pass_context
def dead_letters(context: click.Context, url: str, token: str) -> None:
    """List, inspect, replay and discard dead letters."""
    context.obj = context.with_resource(DeadLetterClient(url, token))


@dead_letters.command("list")
@click.pass_obj
def list_all(client: DeadLetterClient) -> None:
    """List all dead letters, latest first: time and id."""
    for entry in client.entries():
        click.echo(f"{entry.dead_since.isoformat()}  {entry.id}")


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def show(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Print a dead letter as JSON: its rows, and how each attempt ended."""
    click.echo(json.dumps(client.show(dead_letter_id), indent=2))


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def replay(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Submit a dead letter's rows as a new prediction, and print the path of its result."""
    click.echo(client.replay(dead_letter_id))


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def discard(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Delete a dead letter."""
    client.discard(dead_letter_id)


if __name__ == "__main__":
    try:
        main(prog_name="python -m client")
    except Refused as error:
        sys.exit(f"{error.code}: {error}")
    except httpx.HTTPError as error:  # no connection, or an answer that is not the gateway's
        sys.exit(f"the gateway cannot be reached: {error}")
