"""`python -m client`: what operators do from a terminal."""

import json
import sys

import click
import httpx

from client.dead_letters import DeadLetterClient, Refused


@click.group()
def main() -> None:
    """Speak to a Sepal gateway."""


@main.group("dead-letters")
@click.option("--url", envvar="SEPAL_URL", default="http://127.0.0.1:8000", show_default=True, help="Of a gateway.")
@click.option("--token", envvar="SEPAL_OPERATOR_TOKEN", required=True, help="The gateways' SEPAL_OPERATOR_TOKEN.")
@click.pass_context
def dead_letters(context: click.Context, url: str, token: str) -> None:
    """Batches whose attempts are used up."""
    context.obj = context.with_resource(DeadLetterClient(url, token))


@dead_letters.command("list")
@click.pass_obj
def list_all(client: DeadLetterClient) -> None:
    """List them, the latest first: when they were buried, and their ids."""
    for entry in client.entries():
        click.echo(f"{entry.buried.isoformat()}  {entry.id}")


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def show(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Print one as JSON: its rows, and how each attempt at them ended."""
    click.echo(json.dumps(client.show(dead_letter_id), indent=2))


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def replay(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Submit its rows as a new prediction, and print where to ask for the result."""
    click.echo(client.replay(dead_letter_id))


@dead_letters.command()
@click.argument("dead_letter_id")
@click.pass_obj
def discard(client: DeadLetterClient, dead_letter_id: str) -> None:
    """Forget one."""
    client.discard(dead_letter_id)


if __name__ == "__main__":
    try:
        main(prog_name="python -m client")
    except Refused as error:
        sys.exit(f"{error.code}: {error}")
    except httpx.HTTPError as error:  # it is not there, or something else is
        sys.exit(f"the gateway cannot be reached: {error}")
