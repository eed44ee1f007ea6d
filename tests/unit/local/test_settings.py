"""The model that `make run` serves, and the messages about invalid settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from local.__main__ import main
from local.settings import LocalSettings


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with models, of which the lowest version was saved last."""
    monkeypatch.chdir(tmp_path)
    for folder in ("wine/10", "wine/9", "wine/1.10.0", "wine/1.9.2", "wine/.staged", "iris/1", ".wine-9-x/1"):
        (tmp_path / "models" / folder).mkdir(parents=True)
        (tmp_path / "models" / folder / "card.json").touch()


@pytest.mark.parametrize(
    ("model", "served"),
    [("wine", "wine/10"), ("wine/9", "wine/9"), ("wine/1.9.2", "wine/1.9.2"), ("wine/2", None), ("beer", None)],
)
def test_a_name_means_its_highest_version(model: str, served: str | None) -> None:
    assert LocalSettings(model=model).saved_model == (Path("models") / served if served else None)


def test_saved_models_are_listed_in_order_without_those_being_written() -> None:
    assert LocalSettings().saved_models == ["iris/1", "wine/1.9.2", "wine/1.10.0", "wine/9", "wine/10"]


@pytest.mark.parametrize("model", ["../x", "wine/", "wine/..", "wine/1/2", "Wine"])
def test_other_texts_are_no_models(model: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        LocalSettings(model=model)


def test_invalid_settings_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_MODEL", "Wine")
    monkeypatch.setenv("SEPAL_API_PORT", "x")
    with pytest.raises(SystemExit, match=r"^sepal: a setting is invalid: SEPAL_API_PORT: .*; SEPAL_MODEL: [^\n]*$"):
        main()
