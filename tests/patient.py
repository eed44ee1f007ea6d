"""`python -m tests.patient`: a gateway with two limits raised to the tests' time-out.

A batch counts as under way until it is answered, so that a test determines which predictions share the next batch. At
shutdown, an idle connection may send one more request for a quarter of the patience.
"""

import pytest

from api.__main__ import main
from tests.patience import patience

if __name__ == "__main__":
    limits = pytest.MonkeyPatch()  # fails where a limit has another name
    limits.setattr("api.predictions.batches_under_way._UNDER_WAY_SECONDS", patience())
    # The gateway waits this long for every idle connection, such as a probe's.
    limits.setattr("api.http.server.protocol._LAST_REQUEST_SECONDS", patience() / 4)
    main()
