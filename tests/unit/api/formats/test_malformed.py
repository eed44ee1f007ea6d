"""Malformed uploads are refused with an error that contains the position, and leave nothing behind."""

import os
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from api.http.problems import STATUS_BY_CODE
from tests.malformed.case import Case
from tests.malformed.reading import Refusal
from tests.malformed.table import CASES
from tests.patience import patience
from tests.stack import ROOT


@pytest.fixture(scope="module")
def refusals() -> dict[str, Refusal]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.malformed.reading"],
        cwd=ROOT,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},  # as the table server has it
        stdout=subprocess.PIPE,
        timeout=5 * patience(),
        check=True,
    )
    return {each.name: each for each in map(msgspec.json.Decoder(Refusal).decode, ran.stdout.splitlines())}


def test_there_are_200_malformed_uploads_with_different_names() -> None:
    assert len(CASES) >= 200
    assert max(Counter(case.name for case in CASES).values()) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_upload_is_refused_with_its_place(case: Case, refusals: dict[str, Refusal]) -> None:
    refusal = refusals[case.name]
    said = " ".join([refusal.detail, *(f"{fault.pointer} {fault.detail}" for fault in refusal.faults)])
    assert refusal.code == case.code, said
    assert 400 <= STATUS_BY_CODE[refusal.code] < 500
    assert [word for word in case.words if word not in said] == [], said
    assert refusal.left == []


def test_refusal_is_short(refusals: dict[str, Refusal]) -> None:
    longest = max(refusals.values(), key=lambda each: len(msgspec.json.encode(each)))
    assert len(msgspec.json.encode(longest)) < 100_000, longest.name
