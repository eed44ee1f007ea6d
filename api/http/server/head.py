"""Parses the head of a request: its request line and its headers.

httptools (llhttp) parses the fields. This module checks the rules that it does not: RFC 9112, sections 2, 3 and 6,
and RFC 9110, sections 5.3, 7.2 and 10.1.1.
"""

import re
from typing import Final
from urllib.parse import unquote

import httptools
import msgspec

from api.http.problems import (
    EXPECTATION_FAILED,
    HEADERS_TOO_LARGE,
    HTTP_VERSION_NOT_SUPPORTED,
    NOT_IMPLEMENTED,
    REQUEST_LINE_TOO_LONG,
)
from api.http.server.refusals import Refused, body_too_large, malformed_request
from api.settings import ConnectionSettings

END_OF_HEAD: Final = b"\r\n\r\n"
EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
"""A server ignores empty lines in front of a request (RFC 9112, section 2.2)."""

UPLOAD_PATH: Final = b"/predictions"
"""The path of uploads, whose bodies the application receives in parts."""

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(%b) ([!-~]+) HTTP/([0-9])\.([0-9])" % TOKEN)
_METHOD: Final = re.compile(rb"%b " % TOKEN)
_PARTIAL_METHOD: Final = re.compile(TOKEN)
_NAME: Final = rb"[0-9A-Za-z\-._~!$&'()*+,;=]*"
_AUTHORITY: Final = rb"(?:\[[0-9A-Fa-f:.]+\]|%b(?:%%[0-9A-Fa-f]{2}%b)*)(?::[0-9]*)?" % (_NAME, _NAME)
_HOST: Final = re.compile(_AUTHORITY)
_ABSOLUTE_FORM: Final = re.compile(rb"(?i:https?)://(?!/|:|\?)%b((?:/[^?]*)?)((?:\?.*)?)" % _AUTHORITY)
_DIGITS: Final = re.compile(rb"[0-9]+")
_MAX_SIZE_DIGITS: Final = 18

_SINGLE_VALUE_HEADERS: Final = (
    b"host",
    b"content-length",
    b"content-type",
    b"authorization",
    b"idempotency-key",
    b"sepal-deadline",
)
_LIST_HEADERS: Final = (b"transfer-encoding", b"connection", b"expect", b"content-encoding")

Headers = list[tuple[bytes, bytes]]


class Head(msgspec.Struct):
    """The head of a valid request."""

    method: str
    path: str
    """Percent-decoded; `*` for the asterisk form."""
    raw_path: bytes
    query: bytes
    minor_version: int
    """0 or 1."""
    headers: Headers
    """Names in lower case."""
    body_bytes: int | None
    """Size of the body; None if it is chunked."""
    is_upload: bool
    """Whether the application receives the body in parts, so that it may be larger than others."""
    expects_continue: bool
    closes: bool
    """Whether the connection is to be closed after this request."""


class _Fields:
    """Collects the fields of one head from httptools."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


class HeadProbe:
    """Finds errors in an incomplete head, so that it is refused early."""

    def __init__(self, limits: ConnectionSettings) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, partial_head: bytes, data: bytes) -> None:
        """Check the next part of the head.

        Args:
            partial_head: the head received so far, including `data`.
            data: the part that was received last.

        Raises:
            Refused: the head cannot become valid.
        """
        check_sizes(partial_head, self._limits)
        line_end = partial_head.find(b"\r\n")
        if line_end >= 0 and _parse_request_line(partial_head, line_end)[3] > b"1":
            return  # httptools cannot parse the version
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserInvalidMethodError:
            if not _PARTIAL_METHOD.fullmatch(partial_head):  # otherwise the method is not complete
                raise _method_refusal(partial_head) from None
        except httptools.HttpParserError as error:
            if line_end < 0 and str(error) == "Invalid HTTP version":
                return  # checked when the line is complete
            raise malformed_request(f"The request is malformed: {error}.") from None


def parse_head(head: bytes, limits: ConnectionSettings) -> Head:
    """Parse and check a complete head, which ends with an empty line.

    Raises:
        Refused: the head is invalid or too large.
    """
    if len(head) > min(limits.max_request_line_bytes, limits.max_header_bytes):
        check_sizes(head, limits)
    line_end = head.index(b"\r\n")
    method, target, _, minor = _parse_request_line(head, line_end)
    if minor > b"1":  # handled as the highest version that this server supports (RFC 9110, section 2.5)
        head = head[: line_end - 3] + b"1.1" + head[line_end:]
    headers = _parse_fields(head, method)
    if len(headers) > limits.max_headers:
        raise Refused(HEADERS_TOO_LARGE, f"A request may have {limits.max_headers} headers at most.")
    found = dict(headers)
    if len(found) != len(headers):
        headers, found = _join_repeated(headers)
    minor_version = 0 if minor == b"0" else 1
    raw_path, query = _split_target(method, target)
    _check_host(found.get(b"host"), minor_version)
    path = raw_path.decode("ascii")
    is_upload = method == b"POST" and raw_path == UPLOAD_PATH
    return Head(
        method.decode("ascii"),
        unquote(path) if "%" in path else path,
        raw_path,
        query,
        minor_version,
        headers,
        _parse_body_size(found, minor_version, limits.max_upload_bytes if is_upload else limits.max_body_bytes),
        is_upload,
        _is_continue_expected(found, minor_version),
        minor_version == 0 or (b"connection" in found and b"close" in _list_members(found[b"connection"])),
    )


def check_sizes(head: bytes, limits: ConnectionSettings) -> None:
    """Check the sizes of a head, complete or not, and of its lines.

    Raises:
        Refused: a size exceeds its limit.
    """
    lines = head.removesuffix(END_OF_HEAD)[: limits.max_headers_bytes + 1].split(b"\r\n")
    if len(lines[0]) > limits.max_request_line_bytes:
        detail = f"The request line is longer than {limits.max_request_line_bytes} bytes."
        raise Refused(REQUEST_LINE_TOO_LONG, detail)
    if len(head) > limits.max_headers_bytes:
        raise Refused(HEADERS_TOO_LARGE, f"The headers are larger than {limits.max_headers_bytes} bytes together.")
    if max(map(len, lines[1:]), default=0) > limits.max_header_bytes:
        raise Refused(HEADERS_TOO_LARGE, f"A header is longer than {limits.max_header_bytes} bytes.")


def _parse_fields(head: bytes, method: bytes) -> Headers:
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade is ignored, and the request is handled (RFC 9110, section 7.8)
    except httptools.HttpParserInvalidMethodError:
        raise _method_refusal(head) from None
    except httptools.HttpParserError as error:
        if str(error) == "Content-Length overflow":
            raise body_too_large() from None
        raise malformed_request(f"The request is malformed: {error}.") from None
    if method == b"CONNECT":
        raise Refused(NOT_IMPLEMENTED, "This server does not support CONNECT.")
    if not fields.is_complete:
        raise malformed_request("The request is malformed: its headers do not end with an empty line.")
    return fields.headers


def _parse_request_line(head: bytes, line_end: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the method, the target, and the major and minor version."""
    line = _REQUEST_LINE.fullmatch(head, 0, line_end)
    if line is not None and line[3] == b"1":
        return line.groups()  # type: ignore[return-value]  # each group takes part in the match
    if line is not None:
        raise Refused(HTTP_VERSION_NOT_SUPPORTED, "This server supports only HTTP/1.1.")
    raise malformed_request("The request line must be a method, a target and HTTP/1.1, with one space between them.")


def _method_refusal(head: bytes) -> Refused:
    if _METHOD.match(head):
        return Refused(NOT_IMPLEMENTED, "This server does not support the method.")
    return malformed_request("The request must begin with a method.")


def _join_repeated(headers: Headers) -> tuple[Headers, dict[bytes, bytes]]:
    """Refuse a repeated header of `_SINGLE_VALUE_HEADERS`, and join the values of a repeated one of `_LIST_HEADERS`."""
    names = [name for name, _ in headers]
    repeated = next((name for name in _SINGLE_VALUE_HEADERS if names.count(name) > 1), None)
    if repeated is not None:
        raise malformed_request(f"The header `{repeated.decode()}` must not be repeated.")
    joined = {
        name: b", ".join(value for each, value in headers if each == name) for name in _LIST_HEADERS if name in names
    }
    headers = [(name, value) for name, value in headers if name not in joined] + list(joined.items())
    return headers, dict(headers)


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a target in any form (RFC 9112, section 3.2)."""
    if b"#" in target:
        raise malformed_request("The target of a request must not have a fragment.")
    if target[:1] == b"/":
        path, _, query = target.partition(b"?")
        return path, query
    if target == b"*" and method == b"OPTIONS":
        return target, b""
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise malformed_request("The target must be a path such as /predict.")
    return absolute[1] or b"/", absolute[2][1:]


def _check_host(host: bytes | None, minor_version: int) -> None:
    if host is None:
        if minor_version:
            raise malformed_request("A request of HTTP/1.1 must have a `Host` header.")
    elif not _HOST.fullmatch(host):
        raise malformed_request("The `Host` header must be a host name or address, with or without a port.")


def _parse_body_size(header_values: dict[bytes, bytes], minor_version: int, max_bytes: int) -> int | None:
    if b"transfer-encoding" in header_values:
        _check_transfer_encoding(_list_members(header_values[b"transfer-encoding"]), minor_version)
        if b"content-length" in header_values:
            raise malformed_request("`Content-Length` and `Transfer-Encoding` must not be sent together.")
        return None
    length = header_values.get(b"content-length")
    if length is None:
        return 0
    if not _DIGITS.fullmatch(length):
        raise malformed_request("`Content-Length` must be a number.")
    digits = length.lstrip(b"0")
    if len(digits) > _MAX_SIZE_DIGITS or int(digits or b"0") > max_bytes:
        raise body_too_large()
    return int(digits or b"0")


def _check_transfer_encoding(codings: list[bytes], minor_version: int) -> None:
    if minor_version == 0:
        raise malformed_request("A request of HTTP/1.0 must not have `Transfer-Encoding`.")
    if codings[-1] != b"chunked" or b"chunked" in codings[:-1]:
        raise malformed_request("`Transfer-Encoding` must end with `chunked`, and contain it only once.")
    if codings != [b"chunked"]:
        raise Refused(NOT_IMPLEMENTED, "The only supported transfer coding is `chunked`.")


def _is_continue_expected(header_values: dict[bytes, bytes], minor_version: int) -> bool:
    expectation = header_values.get(b"expect")
    if expectation is None or minor_version == 0:  # HTTP/1.0 has no expectations
        return False
    if expectation.lower() != b"100-continue":
        raise Refused(EXPECTATION_FAILED, "The only supported expectation is `100-continue`.")
    return True


def _list_members(value: bytes) -> list[bytes]:
    """Split the value of a list header (RFC 9110, section 5.6.1)."""
    return [member.strip(b" \t").lower() for member in value.split(b",")]
