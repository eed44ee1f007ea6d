"""Executes a notebook of the documentation against a running gateway, and saves it with its outputs.

make run MODEL=penguins                                      # in another terminal
python -m tools.notebook docs/penguins.ipynb                 # uses SEPAL_URL, or http://127.0.0.1:8000
python -m tools.notebook docs/penguins.ipynb --output FILE   # does not change the page
"""

import argparse
from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient

_CELL_SECONDS: Final = 300


def main() -> None:
    """Execute the notebook; stop with a traceback at the first cell that fails."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebook")
    parser.add_argument("page", type=Path)
    parser.add_argument("--output", type=Path, help="the file to write; by default the page itself")
    arguments = parser.parse_args()
    page: Path = arguments.page
    output: Path = arguments.output or page
    notebook = nbformat.read(page, as_version=4)
    folder = {"metadata": {"path": str(page.resolve().parent)}}
    NotebookClient(notebook, timeout=_CELL_SECONDS, resources=folder, record_timing=False).execute()
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": notebook.metadata.kernelspec}
    )  # without versions of this machine
    nbformat.write(notebook, output)
    print(f"wrote {output} ({output.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
