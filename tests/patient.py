"""`python -m tests.patient`: a gateway that waits for as long as its test does.

A batch under way holds back what gathers behind it until it is answered, so that a test decides who shares the next
one; a connection that idles when the gateway is told to stop may ask for a good part of it.
"""

from api.__main__ import main
from api.http import protocol
from api.predictions import coordinator
from tests.patience import patience

if __name__ == "__main__":
    vars(coordinator)["_UNDER_WAY_SECONDS"] = patience()
    vars(protocol)["_LAST_REQUEST_SECONDS"] = (
        patience() / 4
    )  # a probe's connection may idle so long, and the gateway with it
    main()
