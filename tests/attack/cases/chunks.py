"""The syntax of chunks and their extensions."""

from typing import Final

from tests.attack.case import Case, Flood, Proxied, Then
from tests.attack.cases.build import GARBAGE, MALFORMED, OK, ROW, accepts, chunk, get, refuses, responses, stream

_CHUNK: Final = "RFC 9112, 7.1"
_EXTENSION: Final = "RFC 9112, 7.1.1"
_END: Final = b"0\r\n\r\n"
_SIZE_LIMIT: Final = "SEPAL_MAX_CHUNK_EXTENSION_BYTES"


def _extended(extension: bytes) -> bytes:
    return stream(chunk(ROW, extension) + _END)


def _sized(size: bytes) -> bytes:
    return stream(size + b"\r\n" + ROW + b"\r\n" + _END)


CASES: Final[tuple[Case, ...]] = (
    accepts("a chunk for each byte", stream(b"".join(chunk(bytes([byte])) for byte in ROW) + _END), _CHUNK),
    accepts("a packet for each byte of chunks", tuple(bytes([byte]) for byte in stream(chunk() + _END)), _CHUNK),
    accepts("a size in lower case", _sized(b"1c"), _CHUNK),
    accepts("a size in upper case", _sized(b"1C"), _CHUNK),
    accepts("a size with leading zeros", _sized(b"0000001c"), _CHUNK),
    accepts("a last chunk of several zeros", stream(chunk() + b"0000\r\n\r\n"), _CHUNK),
    accepts("no chunk but the last", stream(_END), _CHUNK, 400, code="malformed-json"),
    accepts("an extension", _extended(b";a"), _EXTENSION),
    accepts("an extension with a value", _extended(b";a=b"), _EXTENSION),
    accepts("an extension with a quoted value", _extended(b';a="b; c=d"'), _EXTENSION),
    accepts("an extension with an escaped quote", _extended(b';a="b\\"c"'), _EXTENSION),
    accepts("an extension with spaces", _extended(b" ; a = b"), _EXTENSION, 200, 400, then=Then.ANY),
    accepts("several extensions", _extended(b';a;b=c;d="e"'), _EXTENSION),
    accepts("an extension of the last chunk", stream(chunk() + b"0;a=b\r\n\r\n"), _EXTENSION),
    accepts("an extension of 1,000 bytes", _extended(b";a=" + b"b" * 1000), _EXTENSION),
    accepts("an empty extension", _extended(b";"), _EXTENSION, 200, 400, then=Then.ANY),
    refuses("CR in an extension", _extended(b";a=\rb"), _EXTENSION),
    refuses("LF in an extension", _extended(b";a=\nb"), _EXTENSION),
    refuses("LF at the end of an extension", stream(b"1c;a=b\n" + ROW + b"\r\n" + _END), _EXTENSION,
            proxied=Proxied.REPAIRED),
    refuses("CR in a quoted extension", _extended(b';a="\rb"'), _EXTENSION),
    refuses("a line break in a quoted extension", _extended(b';a="b\r\n"'), _EXTENSION),
    refuses("NUL in an extension", _extended(b";a=\x00"), _EXTENSION, proxied=Proxied.REPAIRED),
    refuses("a size without a line break", stream(b"1c" + ROW + b"\r\n" + _END), _CHUNK),
    refuses("a size that ends with LF", stream(b"1c\n" + ROW + b"\r\n" + _END), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("a size that ends with CR", stream(b"1c\r" + ROW + b"\r\n" + _END), _CHUNK),
    refuses("a size that ends with CR CR LF", stream(b"1c\r\r\n" + ROW + b"\r\n" + _END), _CHUNK),
    refuses("a size with a space before it", _sized(b" 1c"), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("a size with a space after it", _sized(b"1c "), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("a size with a tab after it", _sized(b"1c\t"), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("a size with a space inside", _sized(b"1 c"), _CHUNK),
    refuses("a size with 0x", _sized(b"0x1c"), _CHUNK),
    refuses("a size with a plus sign", _sized(b"+1c"), _CHUNK),
    refuses("a negative size", _sized(b"-1c"), _CHUNK),
    refuses("a size of minus zero", stream(chunk() + b"-0\r\n\r\n"), _CHUNK),
    refuses("a size with an underscore", _sized(b"1_c"), _CHUNK),
    refuses("a size with another letter", _sized(b"1g"), _CHUNK),
    refuses("a size with a letter after it", _sized(b"1cX"), _CHUNK),
    refuses("a size beyond ASCII", _sized("１c".encode()), _CHUNK),
    refuses("a size with a fraction", _sized(b"1c.0"), _CHUNK),
    refuses("an empty size", stream(b"\r\n" + chunk() + _END), _CHUNK),
    refuses("a size of extensions alone", stream(b";a=b\r\n" + chunk() + _END), _CHUNK),
    refuses("a size of 2^63", _sized(b"8000000000000000"), _CHUNK, 400, 413),
    refuses("a size of 2^64 - 1", _sized(b"ffffffffffffffff"), _CHUNK, 400, 413),
    refuses("a size of 2^64 and a chunk's size", _sized(b"1000000000000001c"), _CHUNK, 400, 413),
    refuses("a size of 2^32 and a chunk's size", _sized(b"10000001c"), _CHUNK, 413, code="body-too-large"),
    refuses("a size of 1,000 digits", _sized(b"f" * 1000), _CHUNK, 400, 413),
    refuses("a million digits of a size", (stream(b""), Flood(b"f" * 10_000, 100)), _SIZE_LIMIT, 400, 413,
            then=Then.ENDED),
    refuses("a million zeros before a size", (stream(b""), Flood(b"0" * 10_000, 100), b"1c\r\n" + ROW), _SIZE_LIMIT,
            400, 413, then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("a million zeros of the last chunk", (stream(chunk()), Flood(b"0" * 10_000, 100), b"\r\n\r\n"), _SIZE_LIMIT,
            400, 413, then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("an extension of 5 kB", _extended(b";a=" + b"b" * 5000), _SIZE_LIMIT, 413, code="body-too-large",
            proxied=Proxied.REPAIRED),
    refuses("an extension of 10 MB", (stream(b"1c;a="), Flood(b"b" * 100_000, 100)), _SIZE_LIMIT, 413,
            code="body-too-large", then=Then.ENDED, proxied=Proxied.REPAIRED),
    refuses("200 chunks with an extension of 30 bytes", stream(chunk(b" ", b";" + b"a" * 29) * 200 + chunk() + _END),
            _SIZE_LIMIT, 413, code="body-too-large", proxied=Proxied.REPAIRED),
    refuses("a chunk shorter than its size", stream(b"1d\r\n" + ROW + b"\r\n" + _END), _CHUNK,
            proxied=Proxied.REPAIRED),
    refuses("a chunk longer than its size", stream(b"1b\r\n" + ROW + b"\r\n" + _END), _CHUNK),
    refuses("no line break after a chunk", stream(b"1c\r\n" + ROW + _END), _CHUNK),
    refuses("LF after a chunk", stream(b"1c\r\n" + ROW + b"\n" + _END), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("CR after a chunk", stream(b"1c\r\n" + ROW + b"\r" + _END), _CHUNK),
    refuses("two line breaks after a chunk", stream(chunk() + b"\r\n" + _END), _CHUNK),
    refuses("a body that is not chunked", stream(ROW + b"\r\n"), _CHUNK),
    refuses("LF after the last chunk", stream(chunk() + b"0\n\r\n"), _CHUNK, proxied=Proxied.REPAIRED),
    refuses("LF at the end", stream(chunk() + b"0\r\n\n"), _CHUNK, proxied=Proxied.REPAIRED),
    responses("garbage after the last chunk", stream(chunk() + _END + GARBAGE), (OK, MALFORMED), _CHUNK,
            then=Then.CLOSED),
    responses("a request after the last chunk", stream(chunk() + _END) + get(), (OK, OK), _CHUNK),
    responses("a refused chunk after a good request", get() + stream(b"zz\r\n"), (OK, MALFORMED), _CHUNK,
            then=Then.CLOSED),
)  # fmt: skip
