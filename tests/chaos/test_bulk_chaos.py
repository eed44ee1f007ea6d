"""The short form of faults during a bulk prediction. No test asserts a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.bulk.experiment import BulkExperiment
from tests.chaos.bulk.faults import BULK_FAULTS
from tests.chaos.bulk.rows import BulkReference, Size
from tests.chaos.bulk.run import inject_into_bulk
from tests.chaos.bulk.storage import Kind, Storage, running_storage
from tests.chaos.bulk.verdict import BulkVerdict
from tests.chaos.experiment import running_experiment
from tests.chaos.judge import judge, load_reference
from tests.chaos.site import Site, running_site
from tests.patience import patience

RATE = 30
SIZE = Size(n_rows=100_000, n_marks=8, upload_seconds=0.3)
QUICK = ("bulk-table", "bulk-pool", "bulk-gateway", "bulk-workers")  # each in the first of its variants


@pytest.fixture(scope="module")
def site_and_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Storage]]:
    folder = tmp_path_factory.mktemp("bulk")
    with running_storage(Kind.FOLDER, folder) as storage, running_site(folder, storage=storage) as site:
        yield site, storage


def test_bulk_predictions_survive_faults_and_leave_nothing(
    site_and_storage: tuple[Site, Storage], tmp_path: Path
) -> None:
    site, storage = site_and_storage
    reference, verdicts = BulkReference(site.model_dir), {name: BulkVerdict() for name in QUICK}
    with running_experiment(site, tmp_path, RATE, patience()) as traffic:
        bulk = BulkExperiment(traffic, storage, SIZE, patience())
        for number, (name, verdict) in enumerate(verdicts.items()):
            traffic.injection = number
            inject_into_bulk(bulk, BULK_FAULTS[name], reference, verdict)
    for name, verdict in verdicts.items():
        assert (verdict.uploads, verdict.succeeded, verdict.left) == (1, 1, 0), (name, verdict)
    assert bulk.check_at_end() == []
    singles = judge(list(traffic.ledger.entries.values()), load_reference(site.model_dir))
    assert singles.accepted > 0
    assert (singles.lost, singles.failed, singles.changed, singles.wrong) == (0, 0, 0, 0), singles.examples
