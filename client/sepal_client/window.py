"""The range of rows that a download requests."""

from dataclasses import dataclass

from sepal_client.errors import InvalidInput


@dataclass(frozen=True)
class Window:
    """A range of rows of a result."""

    offset: int | None = None
    limit: int | None = None
    is_partial: bool = False
    """Whether to return the rows that are done while the prediction is not final."""

    def __post_init__(self) -> None:
        if (self.offset or 0) < 0 or (self.limit or 0) < 0:
            raise InvalidInput("`offset` and `limit` must not be negative.")

    @property
    def params(self) -> dict[str, str]:
        """The query parameters."""
        params = {"offset": self.offset, "limit": self.limit}
        found = {name: str(value) for name, value in params.items() if value is not None}
        return found | ({"partial": "true"} if self.is_partial else {})
