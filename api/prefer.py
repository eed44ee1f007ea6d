"""RFC 7240, `Prefer`: what the client wants of the server, as far as this one honours it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The two preferences that `POST /predict` knows."""

    respond_async: bool = False
    wait: int | None = None
    """Seconds."""

    @classmethod
    def parse(cls, headers: Sequence[bytes]) -> "Preferences":
        """Read every `Prefer` header: of repeated preferences the first counts, unknown ones are ignored."""
        if not headers:
            return _NONE
        seen: dict[str, str] = {}
        for name, word in _preferences(b",".join(headers).decode("latin-1")):
            seen.setdefault(name, word)
        wait = seen.get("wait", "")
        return cls(
            # RFC 7240, section 2: an empty value is the same as none.
            respond_async=seen.get("respond-async", "no") == "",
            wait=int(wait) if _DELTA_SECONDS.fullmatch(wait) else None,
        )

    def seconds(self, default: float, longest: float) -> float:
        """How long to wait before answering 202."""
        if self.wait is not None:
            return min(self.wait, longest)
        return 0 if self.respond_async else default

    def applied(self, answered: bool, longest: float) -> str | None:
        """The value of `Preference-Applied`: what shaped this response; None where nothing did."""
        applied = []
        if self.respond_async and not answered:
            applied.append("respond-async")
        if self.wait is not None:
            applied.append(f"wait={min(self.wait, int(longest))}")
        return ", ".join(applied) or None


_NONE: Final = Preferences()


def _preferences(text: str) -> Iterator[tuple[str, str]]:
    """Read token ["=" word] *( ";" parameter ), where a word is a token or a quoted string."""
    for element in _split(text, ","):
        preference = next(_split(element, ";"))  # what follows are parameters, and none is known here
        name, _, word = preference.partition("=")
        yield name.strip().lower(), _unquote(word.strip())


def _split(text: str, separator: str) -> Iterator[str]:
    """Split where the separator stands outside a quoted string; one pass, whatever a client sends."""
    start, quoted, escaped = 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _unquote(word: str) -> str:
    quoted = len(word) > 1 and word[0] == word[-1] == '"'
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if quoted else word
