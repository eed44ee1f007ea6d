"""RFC 7240, `Prefer`: what the client wants of the server, as far as this one honours it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# token ["=" word] *( ";" parameter ), where a word is a token or a quoted string (RFC 7240, section 2).
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_PREFERENCE: Final = re.compile(
    rf"[ \t]*(?P<name>{_WORD})(?:[ \t]*=[ \t]*(?P<word>{_WORD}|{_QUOTED})?)?"
    rf"(?:[ \t]*;[ \t]*(?:{_WORD}(?:[ \t]*=[ \t]*(?:{_WORD}|{_QUOTED})?)?)?)*[ \t]*(?=,|$)"
)
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The two preferences that `POST /predict` knows."""

    respond_async: bool = False
    wait: int | None = None
    """Seconds."""

    @classmethod
    def parse(cls, headers: Iterable[str]) -> "Preferences":
        """Read every `Prefer` header: of repeated preferences the first counts, unknown ones are ignored."""
        seen: dict[str, str] = {}
        for name, word in _preferences(",".join(headers)):
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


def _preferences(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _PREFERENCE.match(text, position)
        if match:
            word = match["word"] or ""
            if word.startswith('"'):
                word = re.sub(r"\\(.)", r"\1", word[1:-1])
            yield match["name"].lower(), word
            position = match.end() + 1
        else:  # what cannot be read is ignored, up to the next comma
            position = (text.find(",", position) + 1) or len(text)
