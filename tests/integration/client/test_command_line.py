"""The command `sepal` without a terminal: its output, files and exit codes."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import pipelines
from tests.integration.client.commands import sepal
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, running_stack, wait_for

TORGERSEN = ("Torgersen", 39.1, 18.7, 181, 3750, "male", 2007)
COLUMNS = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year"
ROWS = f"id,{COLUMNS}\n0001,Torgersen,39.1,18.7,181,3750,male,2007\n0002,Biscoe,50.2,14.3,218,5700,,2007\n"
SPECIES = ["Adelie", "Gentoo"]
NO_PREDICTION = "AaIG" + "A" * 36
TOKEN = "let me in"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of two penguins, with a column that the model does not know."""
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose pipeline rejects rows that begin with 7; operators have a token."""
    model = save_misbehaving(tmp_path_factory.mktemp("picky-model"), pipelines.RejectsSevens())
    with running_stack(tmp_path_factory.mktemp("picky"), model, operator_token=TOKEN) as (_, gateway):
        yield gateway


def error_of(done: Any) -> dict[str, Any]:
    """Return the JSON object on standard error."""
    found: dict[str, Any] = json.loads(done.stderr)
    return found


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_prediction_is_printed_alone(penguins: Gateway) -> None:
    done = sepal(penguins, "predict", *TORGERSEN)
    assert (done.stdout, done.stderr) == ("Adelie\n", "")


def test_row_by_name_may_leave_out_what_is_missing(penguins: Gateway) -> None:
    words = [word for name in ("island=Dream", "bill_length_mm=46.5", "year=2007") for word in ("--row", name)]
    assert sepal(penguins, "predict", *words).stdout == "Chinstrap\n"


def test_negative_number_is_a_value_and_no_option(iris: Gateway) -> None:
    assert sepal(iris, "predict", -1, "-.5", "-1e-1", -2).stdout == "0\n"


def test_unknown_option_is_a_wrong_command(iris: Gateway) -> None:
    assert "--ouputs" in sepal(iris, "predict", "--ouputs", "proba", 1, 2, 3, 4, code=2).stderr


def test_row_is_given_in_exactly_one_way(iris: Gateway) -> None:
    assert "either as values" in sepal(iris, "predict", code=2).stderr
    assert "either as values" in sepal(iris, "predict", "1", "--row", "a=1", code=2).stderr


def test_result_of_a_row_is_json_for_programs(iris: Gateway) -> None:
    body = json.loads(sepal(iris, "predict", "--json", "--outputs", "prediction,log_proba", 4.8, 3, 1.4, 0.3).stdout)
    assert body["prediction"] == [0]
    assert body["log_proba"] == [[0.0, "-Infinity", "-Infinity"]]
    assert body["model"]["name"] == "iris"


def test_row_that_the_client_refuses_ends_with_3(penguins: Gateway) -> None:
    done = sepal(penguins, "predict", "--row", "isle=Dream", code=3)
    assert done.stderr == 'sepal: There is no column "isle". Did you mean "island"?\n'


def test_row_that_the_gateway_refuses_ends_with_3_and_names_the_fault(penguins: Gateway) -> None:
    done = sepal(penguins, "predict", "--row", "island=Dream", code=3)
    assert '/data/0: The column "year" must not be missing' in done.stderr


def test_file_is_scored_into_the_format_of_its_suffix(penguins: Gateway, rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "scored.parquet"
    done = sepal(penguins, "score", rows, "-o", target, "--carry", "id")
    assert (done.stdout, done.stderr) == ("", "")
    scored = pd.read_parquet(target)
    assert (scored["id"].tolist(), scored["prediction"].tolist()) == (["0001", "0002"], SPECIES)
    assert left_in(tmp_path) == ["rows.csv", "scored.parquet"]


def test_pipe_is_scored_into_a_pipe(penguins: Gateway) -> None:
    done = sepal(penguins, "score", "-", "--carry", "id", "--outputs", "prediction", stdin=ROWS)
    assert done.stdout.split() == ["id,prediction", "0001,Adelie", "0002,Gentoo"]
    assert done.stderr == ""


def test_formats_of_pipes_are_options(penguins: Gateway) -> None:
    row = json.dumps(TORGERSEN)
    done = sepal(penguins, "score", "-", "--format", "ndjson", "--to", "ndjson", "--outputs", "prediction", stdin=row)
    assert json.loads(done.stdout) == {"prediction": "Adelie"}


def test_csv_without_names_and_with_other_signs_is_read(iris: Gateway) -> None:
    options = ("--delimiter", ";", "--no-header", "--outputs", "prediction")
    done = sepal(iris, "score", "-", *options, stdin="4.8;3;1.4;0.3\n2;1;3.2;1.1\n")
    assert done.stdout.split() == ["prediction", "0", "1"]


def test_text_can_be_a_missing_value(penguins: Gateway) -> None:
    row = f"{COLUMNS}\nDream,46.5,NA,NA,NA,NA,2007\n"
    assert "Chinstrap" in sepal(penguins, "score", "-", "--null", "NA", stdin=row).stdout


def test_scored_file_is_described_for_programs(penguins: Gateway, rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "scored.csv"
    told = json.loads(sepal(penguins, "score", rows, "-o", target, "--carry", "id", "--json").stdout)
    assert told.pop("seconds") > 0
    assert len(told.pop("id")) == 40
    assert told == {"rows": {"done": 2, "bad": 0}, "target": str(target), "bytes": target.stat().st_size}


def test_description_and_result_cannot_share_standard_output(penguins: Gateway, rows: Path) -> None:
    assert "--json requires -o FILE" in sepal(penguins, "score", rows, "--json", code=2).stderr


def test_refused_file_ends_with_3_and_leaves_no_file(penguins: Gateway, rows: Path, tmp_path: Path) -> None:
    done = sepal(penguins, "score", rows, "-o", tmp_path / "scored.csv", code=3)
    assert done.stderr.startswith('sepal: The rows do not fit the model; "sepal model" shows its columns.\n')
    assert "--carry id" in done.stderr
    assert left_in(tmp_path) == ["rows.csv"]


def test_refused_file_is_described_for_programs(penguins: Gateway, rows: Path, tmp_path: Path) -> None:
    done = sepal(penguins, "score", rows, "-o", tmp_path / "scored.csv", "--json", code=3)
    error = error_of(done)
    assert (error["code"], len(error["errors"])) == ("invalid-rows", 1)
    assert done.stdout == ""


def test_file_of_unknown_format_is_refused_before_anything_is_sent(iris: Gateway, rows: Path, tmp_path: Path) -> None:
    assert "scored.xlsx" in sepal(iris, "score", rows, "-o", tmp_path / "scored.xlsx", code=3).stderr
    assert left_in(tmp_path) == ["rows.csv"]


def test_rows_that_the_pipeline_rejects_end_with_5(picky: Gateway) -> None:
    done = sepal(picky, "score", "-", stdin="column 0,column 1\n1,0\n7,0\n", code=5)
    assert "a row starts with 7" in done.stderr
    assert done.stdout == ""


def test_bad_rows_can_be_reported(picky: Gateway, tmp_path: Path) -> None:
    target = tmp_path / "scored.csv"
    words = ("score", "-", "--on-error", "report", "-o", target, "--json")
    told = json.loads(sepal(picky, *words, stdin="column 0,column 1\n1,0\n7,0\n").stdout)
    assert told["rows"] == {"done": 2, "bad": 1}
    assert "a row starts with 7" in pd.read_csv(target)["error"][1]


def test_detached_prediction_is_picked_up_by_its_id(penguins: Gateway, rows: Path, tmp_path: Path) -> None:
    prediction_id = sepal(penguins, "score", rows, "--carry", "id", "--detach").stdout.strip()
    target = tmp_path / "scored.ndjson"
    assert sepal(penguins, "results", prediction_id, "-o", target).stdout == ""
    assert [json.loads(line)["prediction"] for line in target.read_text().splitlines()] == SPECIES
    told = json.loads(sepal(penguins, "results", prediction_id, "-o", target, "--json").stdout)
    assert (told["rows"], told["target"]) == ({"done": 2, "bad": 0}, str(target))
    assert json.loads(sepal(penguins, "results", prediction_id, "--json").stdout)["prediction"] == SPECIES
    some = sepal(penguins, "results", prediction_id, "--offset", 1, "--limit", 1).stdout
    assert pd.read_csv(io.StringIO(some), dtype=str)["id"].tolist() == ["0002"]


def test_prediction_is_watched_to_its_end(penguins: Gateway, rows: Path) -> None:
    prediction_id = sepal(penguins, "score", rows, "--carry", "id", "--detach").stdout.strip()
    assert sepal(penguins, "watch", prediction_id).stdout == "succeeded: 2 rows\n"
    *_, last = map(json.loads, sepal(penguins, "watch", prediction_id, "--json").stdout.splitlines())
    assert (last["id"], last["status"], last["rows"]["done"]) == (prediction_id, "succeeded", 2)


def test_result_of_a_few_rows_is_fetched_as_json(iris: Gateway) -> None:
    prediction_id = iris.predict([[4.8, 3, 1.4, 0.3]], prefer="respond-async").json()["id"]
    assert json.loads(sepal(iris, "results", prediction_id).stdout)["prediction"] == [0]


def test_predictions_are_listed_the_latest_first(penguins: Gateway, rows: Path) -> None:
    score = ("score", rows, "--carry", "id", "--detach", "--json")
    ids = [json.loads(sepal(penguins, *score).stdout)["id"] for _ in range(2)]
    for prediction_id in ids:
        sepal(penguins, "watch", prediction_id)
    head, *lines = sepal(penguins, "list", "--state", "succeeded").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "ROWS", "DONE", "BAD", "LEFT"]
    assert [line.split()[0] for line in lines][:2] == ids[::-1]
    assert [json.loads(line)["id"] for line in sepal(penguins, "list", "--json").stdout.splitlines()][:2] == ids[::-1]
    assert len(sepal(penguins, "list", "--state", "failed").stdout.splitlines()) == 1


@pytest.mark.parametrize("command", ["watch", "results", "cancel"])
def test_unknown_prediction_ends_with_6(iris: Gateway, command: str) -> None:
    done = sepal(iris, command, NO_PREDICTION, "--json", code=6)
    assert error_of(done)["code"] in ("prediction-not-found", "prediction-gone")


def test_final_prediction_is_not_canceled(iris: Gateway) -> None:
    prediction_id = iris.predict([[4.8, 3, 1.4, 0.3]], prefer="respond-async").json()["id"]
    sepal(iris, "watch", prediction_id)
    assert "final" in sepal(iris, "cancel", prediction_id, code=3).stderr


def test_model_is_described_with_a_command_that_predicts_its_example(penguins: Gateway) -> None:
    text = sepal(penguins, "model").stdout
    for words in ("penguins 1", "bill_length_mm", "32.1 to 59.6", "Biscoe, Dream, Torgersen", "Adelie, Chinstrap"):
        assert words in text
    example = text.partition("example  sepal ")[2].split()
    assert sepal(penguins, *example).stdout == "Adelie\n"


def test_model_card_is_printed_for_programs(penguins: Gateway) -> None:
    assert json.loads(sepal(penguins, "model", "--json").stdout) == penguins.client.get("/model").json()


def test_ready_service_shows_its_queues(iris: Gateway) -> None:
    lines = sepal(iris, "status").stdout.splitlines()
    assert lines[0].startswith("ready  iris 1")
    assert [line.split()[0] for line in lines[2:5]] == ["QUEUE", "interactive", "bulk"]
    assert json.loads(sepal(iris, "status", "--json").stdout)["ready"] is True


def test_service_without_workers_is_not_ready_and_says_why(stack: Stack) -> None:
    stack.start_broker()
    gateway = stack.start_gateway()
    sepal(gateway, "watch", NO_PREDICTION, code=6)  # repeated until the gateway answers
    wait_for(lambda: "model-unknown" in gateway.client.get("/readyz").text, "the first look for workers")
    done = sepal(gateway, "status", code=4)
    assert done.stdout.startswith("not ready  no model")
    assert "model-unknown" in done.stdout


def test_unreachable_gateway_ends_with_4(iris: Gateway) -> None:
    done = sepal(iris, "status", "--url", "http://127.0.0.1:9", "--json", code=4)
    assert error_of(done)["code"] == "gateway-unreachable"


def test_dead_letters_need_the_token_of_the_operators(picky: Gateway) -> None:
    assert sepal(picky, "dead-letters", "list", operator_token=TOKEN).stdout == ""
    assert sepal(picky, "dead-letters", "list", "--operator-token", TOKEN).stdout == ""
    done = sepal(picky, "dead-letters", "list", "--operator-token", "a guess", code=7)
    assert "SEPAL_OPERATOR_TOKEN" in done.stderr


@pytest.mark.parametrize("command", ["show", "replay", "discard"])
def test_unknown_dead_letter_ends_with_6(picky: Gateway, command: str) -> None:
    done = sepal(picky, "dead-letters", command, "none", "--json", operator_token=TOKEN, code=6)
    assert error_of(done)["code"] == "dead-letter-not-found"


def test_secrets_are_not_echoed(picky: Gateway) -> None:
    done = sepal(
        picky, "dead-letters", "list", "--operator-token", "a guess", "--api-key", "my key", "--timeout", "x", code=2
    )
    assert "a guess" not in done.stderr
    assert "my key" not in done.stderr
