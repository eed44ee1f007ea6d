"""Generates a Python client from an OpenAPI schema, as described in docs/recipes.md."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.shell import blocks
from tests.stack import ROOT, clean_environment

PAGE: Final = ROOT / "docs/recipes.md"
SECTION: Final = "A client of your own"


def generate(schema: Any, folder: Path) -> None:
    """Generate a client into a folder, whose name becomes the package's; fail at the first warning."""
    (configuration,) = blocks(PAGE, "yaml")[SECTION]
    configured, described = folder.with_suffix(".yaml"), folder.with_suffix(".json")
    configured.write_text(configuration)
    described.write_text(json.dumps(schema))
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    options = [f"--path={described}", f"--config={configured}", f"--output-path={folder}"]
    done = subprocess.run([*generator, *options], env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
