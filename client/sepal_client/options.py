"""The options of an upload, as query parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from sepal_client.call import Params
from sepal_client.errors import InvalidInput


@dataclass(frozen=True)
class UploadOptions:
    """The options of an upload, as given to `submit`."""

    carry: Sequence[str] = ()
    outputs: Sequence[str] | None = None
    on_error: str = "fail"
    delimiter: str | None = None
    header: bool | None = None
    null: Sequence[str] = ()

    @property
    def params(self) -> Params:
        """The query parameters.

        Raises:
            InvalidInput: `carry` or `outputs` is a string, or contains a name with a comma.
        """
        params: dict[str, str | Sequence[str]] = {}
        if self.carry:
            params["carry"] = _join_names(self.carry, "carry")
        if self.outputs is not None:
            params["outputs"] = _join_names(self.outputs, "outputs")
        if self.on_error != "fail":
            params["on_error"] = self.on_error
        if self.delimiter is not None:
            params["delimiter"] = self.delimiter
        if self.header is not None:
            params["header"] = "true" if self.header else "false"
        if self.null:
            params["null"] = [self.null] if isinstance(self.null, str) else list(self.null)
        return params


def _join_names(names: Sequence[str], argument: str) -> str:
    if isinstance(names, str):
        raise InvalidInput(f"`{argument}` must be a list of names: [{names!r}].")
    if any("," in name for name in names):
        raise InvalidInput(f"`{argument}`: a name must not contain a comma; rename the column.")
    return ",".join(names)
