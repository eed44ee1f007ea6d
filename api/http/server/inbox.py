"""The received bytes of a connection that have not been read yet."""

from api.http.server.head import EMPTY_LINES, END_OF_HEAD, Head, HeadProbe, parse_head
from api.http.server.incoming_body import IncomingBody
from api.settings import ConnectionSettings


class Inbox:
    """Buffers received bytes, from which heads and bodies are taken in turn."""

    def __init__(self, limits: ConnectionSettings) -> None:
        self._limits = limits
        self._data = b""
        self._position = 0  # the offset of the first unread byte
        self._probe: HeadProbe | None = None  # while a head is incomplete
        self._n_probed = 0

    def __len__(self) -> int:
        """Return the number of unread bytes."""
        return len(self._data) - self._position

    @property
    def has_partial_head(self) -> bool:
        """Whether a head has arrived in part."""
        return self._probe is not None

    @property
    def is_head_request(self) -> bool:
        """Whether the next request is a HEAD request, whose response has no content."""
        return self._data.startswith(b"HEAD ", self._position)

    def add(self, data: bytes) -> None:
        """Append received bytes."""
        self._data = self._data[self._position :] + data if self else data
        self._position = 0

    def take_head(self) -> Head | None:
        """Remove and return the next head; None if it is incomplete.

        Raises:
            Refused: the head is malformed or too large, or cannot become valid.
        """
        if self._data[self._position : self._position + 1] == b"\r":
            self._skip_empty_lines()
        scanned = self._position + max(self._n_probed - len(END_OF_HEAD) + 1, 0)
        end = self._data.find(END_OF_HEAD, scanned)
        if end < 0:
            self._check_partial_head()
            return None
        head = self._data[self._position : end + len(END_OF_HEAD)]
        found = parse_head(head, self._limits)
        self._position += len(head)
        self._probe, self._n_probed = None, 0
        return found

    def take_body(self, body: IncomingBody) -> int:
        """Move the received bytes of a body into it, and return their number.

        Raises:
            Refused: the body is malformed or too large.
        """
        begin, self._position = self._position, body.feed(self._data, self._position)
        return self._position - begin

    def clear(self) -> None:
        """Discard all bytes."""
        self._data, self._position = b"", 0
        self._probe, self._n_probed = None, 0

    def _skip_empty_lines(self) -> None:
        lines = EMPTY_LINES.match(self._data, self._position)
        assert lines is not None, "the pattern matches an empty string, too"
        self._n_probed = max(self._n_probed - (lines.end() - self._position), 0)
        self._position = lines.end()

    def _check_partial_head(self) -> None:
        if not self:
            return
        self._probe = self._probe or HeadProbe(self._limits)
        partial_head = self._data[self._position :]
        self._probe.feed(partial_head, partial_head[self._n_probed :])
        self._n_probed = len(partial_head)
