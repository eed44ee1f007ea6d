"""Writes the synchronous client from the asynchronous one; with --check, names the outdated files and writes none.

    python -m tools.sync_client

Each module of `sepal_client._async` becomes one of `sepal_client._sync`, by the replacement of words.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import unasync

CLIENT: Final = Path(__file__).parent.parent / "client" / "sepal_client"
ASYNC, SYNC = "_async", "_sync"
WORDS: Final = {
    "AsyncAttempt": "Attempt",
    "AsyncClient": "Client",
    "AsyncDeadLetters": "DeadLetters",
    "AsyncDownload": "Download",
    "AsyncFollower": "Follower",
    "AsyncGenerator": "Generator",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncLookUps": "LookUps",
    "AsyncPrediction": "Prediction",
    "AsyncRetrying": "Retrying",
    "AsyncSepal": "Sepal",
    "AsyncSubmission": "Submission",
    "AsyncTransport": "Transport",
    "AsyncUpload": "Upload",
    "_AsyncBody": "_Body",
    "_async": "_sync",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_raw": "iter_raw",
    "aiter_sse": "iter_sse",
    "aread": "read",
    "async_call": "call",
    "async_sleep": "sleep",
}
_GENERATED: Final = "# Written by `python -m tools.sync_client`: change sepal_client/_async instead.\n"


def main() -> None:
    """Write the modules that are outdated, or name them."""
    with tempfile.TemporaryDirectory() as folder:
        generated = generate(Path(folder))
    target = CLIENT / SYNC
    stale = {path for path, text in generated.items() if not path.exists() or path.read_text() != text}
    stale |= set(target.glob("*.py")) - generated.keys()
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"outdated: {', '.join(map(str, sorted(stale)))}; run `python -m tools.sync_client`")
        return
    for path in sorted(stale):
        if path in generated:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated[path])
        else:
            path.unlink()
        print(f"wrote {path}")


def generate(folder: Path) -> dict[Path, str]:
    """Return the synchronous modules by path; `folder` is for temporary files."""
    written, replaced = folder / ASYNC, folder / SYNC
    shutil.copytree(CLIENT / ASYNC, written, ignore=shutil.ignore_patterns("__pycache__"))
    rule = unasync.Rule(f"/{ASYNC}/", f"/{SYNC}/", WORDS)
    unasync.unasync_files([str(path) for path in written.glob("*.py")], [rule])
    for path in replaced.glob("*.py"):
        path.write_text(_GENERATED + path.read_text())
    _format(replaced)
    return {CLIENT / SYNC / path.name: path.read_text() for path in replaced.glob("*.py")}


def _format(folder: Path) -> None:
    """Sort the imports and break the lines anew, because names have changed."""
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    settings = ["--config", str(CLIENT.parent.parent / "pyproject.toml"), "--quiet", str(folder)]
    fixes = ["--select", "I,F401,UP028", "--fix", "--unsafe-fixes"]
    subprocess.run([*ruff, "check", *fixes, *settings], check=True)
    subprocess.run([*ruff, "format", *settings], check=True)


if __name__ == "__main__":
    main()
