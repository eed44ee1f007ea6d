"""All faults by name, in the order of the table."""

from typing import Final

from tests.chaos.alien_messages import ALIEN_MESSAGE_FAULTS
from tests.chaos.fault import Fault
from tests.chaos.links import LINK_FAULTS
from tests.chaos.processes import PROCESS_FAULTS
from tests.chaos.rows import CLOCK_FAULTS, ROW_FAULTS

FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault for fault in [*PROCESS_FAULTS, *LINK_FAULTS, *ALIEN_MESSAGE_FAULTS, *ROW_FAULTS, *CLOCK_FAULTS]
}
