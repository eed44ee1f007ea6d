"""The worker's image with a custom model, and with distributions beyond the locked ones."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from category_encoders import CountEncoder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.own_code import IRIS, fitted, write_code
from tests.patience import longest_test
from tests.stack import ROOT
from training.artifact import save

pytestmark = [pytest.mark.images, pytest.mark.timeout(2 * longest_test())]

_LOAD = """\
import os
from pathlib import Path
from worker.pool.predictor import Predictor
predictor = Predictor.load(Path(os.environ["SEPAL_MODEL_DIR"]))
predictor.warm_up()
print(predictor.card.digest)
"""


@pytest.fixture
def model_dir(tmp_path: Path) -> Iterator[Path]:
    """A model with own code that needs category_encoders, in the folder that the build copies it from."""
    code = write_code(tmp_path / "src")
    name = f"images-{uuid.uuid4().hex[:8]}"
    with fitted(tmp_path / "src") as scaled:
        pipeline = make_pipeline(CountEncoder(cols=[]), scaled[0], LogisticRegression(max_iter=1000))
        X = IRIS.data
        yield save(
            pipeline.fit(X, IRIS.target), ROOT / "models", name=name, version="1", X=X, source="the tests", code=code
        )
    shutil.rmtree(ROOT / "models" / name)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.strip()


def test_model_is_built_into_the_image_with_what_it_needs(model_dir: Path) -> None:
    model = model_dir.relative_to(ROOT)
    tag = f"sepal-tests-{model.parent.name}"
    docker("build", "--file=Dockerfile.worker", "--target=worker", f"--build-arg=MODEL={model}", f"--tag={tag}", ".")
    try:
        shown = docker("run", "--rm", "--read-only", "--network=none", tag, "python", "-c", _LOAD)
        assert shown in (model_dir / "card.json").read_text()
    finally:
        docker("rmi", "--force", tag)
