"""The notebook of the documentation runs against a gateway, and its outputs equal the saved ones."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack import ROOT, Gateway, clean_environment

PAGE = ROOT / "docs/penguins.ipynb"
MAX_BYTES = 100_000


def outputs(page: Path) -> list[dict[str, Any]]:
    """Return the outputs of all cells, by type, without what depends on the processor: digests and bits of pictures."""
    cells = json.loads(re.sub("sha256:[0-9a-f]+", "sha256:…", page.read_text()))["cells"]
    found = [output for cell in cells for output in cell.get("outputs", [])]
    return [
        {"type": output["output_type"], "text": output.get("text")}
        | {kind: None if kind == "image/png" else data for kind, data in output.get("data", {}).items()}
        for output in found
    ]


def test_notebook_shows_the_outputs_that_it_is_saved_with(penguins: Gateway, tmp_path: Path) -> None:
    folders = {name: str(tmp_path / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")}
    environment = clean_environment(url=f"http://127.0.0.1:{penguins.port}") | folders
    done = subprocess.run(
        [sys.executable, "-m", "tools.notebook", PAGE, "--output", tmp_path / PAGE.name],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    executed = outputs(tmp_path / PAGE.name)
    assert {kind for output in executed for kind in output} >= {"text", "text/html", "image/png"}
    assert executed == outputs(PAGE)


def test_every_cell_of_the_notebook_is_saved_in_order_and_small() -> None:
    assert PAGE.stat().st_size < MAX_BYTES
    cells = [cell for cell in json.loads(PAGE.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
