"""An OpenAPI schema as `tests.documented` reads it: which operation a request is for, and what it describes."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
_URI: Final = "urn:sepal"
_FLAGS: Final = {"true": True, "false": False}
_REQUEST_HEADERS: Final = frozenset(
    (
        *("accept", "accept-encoding", "authorization", "cache-control", "connection", "content-encoding"),
        *("content-length", "content-type", "expect", "host", "if-none-match", "if-range", "range"),
        *("transfer-encoding", "user-agent"),
    )
)
"""Headers that HTTP itself defines for requests (RFC 9110, RFC 9111), which no operation describes."""
_RESPONSE_HEADERS: Final = frozenset(
    (
        *("cache-control", "connection", "content-encoding", "content-length", "content-type", "date"),
        *("transfer-encoding", "vary"),
    )
)
"""Likewise, for responses."""

Schema = Mapping[str, Any]


class Undocumented(AssertionError):
    """A request or response contains something that the OpenAPI schema does not describe."""


class Documentation:
    """The operations of a schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        resource = DRAFT202012.create_resource(dict(schema))
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._paths = [
            (re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))), path) for path in schema["paths"]
        ]

    def operation(self, request: httpx.Request) -> "Operation":
        """Return the operation of a request.

        Raises:
            Undocumented: the schema has no such path, or the path no such method.
        """
        method = {"HEAD": "get"}.get(request.method, request.method.lower())
        for pattern, path in self._paths:
            if pattern.fullmatch(request.url.path):
                operations = self._schema["paths"][path]
                if method in operations:
                    return Operation(self, f"{request.method} {path}", operations[method])
                raise Undocumented(f"{path} has no {request.method}")
        raise Undocumented(f"there is no path {request.url.path}")

    def resolved(self, schema: Schema) -> Schema:
        """Follow the reference of a parameter, header or response."""
        found: Any = schema
        while "$ref" in found:
            found = self._target(found["$ref"])
        return dict(found)

    def is_valid(self, schema: Schema, value: Any) -> bool:
        """Return whether a schema describes a value."""
        return bool(self._validator(schema).is_valid(value))

    def documented(self, schema: Schema, value: Any) -> Any:
        """Return a value without the members that its schema does not describe."""
        if isinstance(value, list):
            return [self.documented(self._item(schema, value, index), item) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        branches = list(self._branches(schema, value))
        return {name: self.documented(part, item) for name, item in value.items() for part in _member(branches, name)}

    def _item(self, schema: Schema, value: list[Any], index: int) -> Schema:
        for branch in self._branches(schema, value):
            prefix = branch.get("prefixItems", ())
            found = prefix[index] if index < len(prefix) else branch.get("items")
            if isinstance(found, Mapping):
                return found
        return {}

    def _branches(self, schema: Schema, value: Any) -> Iterator[Schema]:
        """Yield every schema that applies to a value; of alternatives, only those that describe it."""
        yield schema
        if "$ref" in schema:
            yield from self._branches(self._target(schema["$ref"]), value)
        for part in schema.get("allOf", ()):
            yield from self._branches(part, value)
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            if self.is_valid(part, value):
                yield from self._branches(part, value)

    def _target(self, reference: str) -> Schema:
        found: Schema = self._registry.resolver(_URI).lookup(reference).contents
        return found

    def _validator(self, schema: Schema) -> Draft202012Validator:
        based = json.loads(json.dumps(schema).replace('"$ref": "#/', f'"$ref": "{_URI}#/'))
        return Draft202012Validator(based, registry=self._registry)


class Operation:
    """One operation, such as `GET /results/{prediction_id}`."""

    def __init__(self, documentation: Documentation, name: str, description: Schema) -> None:
        self._documentation = documentation
        self._name = name
        self._description = description
        parameters = [documentation.resolved(each) for each in description.get("parameters", ())]
        self._query = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
        self._headers = {each["name"].lower(): each["schema"] for each in parameters if each["in"] == "header"}

    def check_head(self, request: httpx.Request) -> None:
        """Check the query, the headers and the type of the body.

        Raises:
            Undocumented: one of them is not described.
        """
        for name in request.url.params:
            values = request.url.params.get_list(name)
            self._check_value(f"the parameter {name}", self._query.get(name), values)
        for header, value in request.headers.items():
            if header not in _REQUEST_HEADERS:
                self._check_value(f"the header {header}", self._headers.get(header), [value])
        if "content-type" in request.headers and self._body_schema(request) is None:
            raise Undocumented(f"{self._name} takes no body of type {request.headers['content-type']}")

    def check_body(self, request: httpx.Request) -> None:
        """Check the names of the members of a JSON body, but not their values.

        Raises:
            Undocumented: a member is not described.
        """
        schema = self._body_schema(request)
        if _media_type(request.headers) != JSON or schema is None:
            return
        members = dict.fromkeys(json.loads(request.content))
        unknown = members.keys() - self._documentation.documented(schema, members).keys()
        if unknown:
            raise Undocumented(f"{self._name} describes no {', '.join(sorted(unknown))} in its body")

    def response_schema(self, response: httpx.Response, *, has_content: bool) -> Schema:
        """Return the schema of a response's content: of its JSON, or of the JSON in each event of a stream.

        Raises:
            Undocumented: the status or the media type is not described.
        """
        described = self._response(response)
        media_type = _media_type(response.headers)
        if not has_content or (not media_type and "content" not in described):
            return {}
        if media_type not in described.get("content", {}):
            raise Undocumented(f"{self._name} describes no {media_type} with status {response.status_code}")
        content: Schema = described["content"][media_type]
        found: Schema = content.get("schema", {})
        if media_type == EVENT_STREAM:
            found = content["itemSchema"]["properties"]["data"]["contentSchema"]
        return found

    def response_headers(self, response: httpx.Response) -> list[tuple[str, str]]:
        """Return the headers of a response without those that are not described."""
        described = {name.lower() for name in self._response(response).get("headers", {})} | _RESPONSE_HEADERS
        return [(name, value) for name, value in response.headers.multi_items() if name in described]

    def documented(self, schema: Schema, value: Any) -> Any:
        """Return the content of a response without the members that are not described.

        Raises:
            Undocumented: the schema does not describe the content at all.
        """
        if not self._documentation.is_valid(schema, value):
            raise Undocumented(f"{self._name} does not describe {json.dumps(value)[:1000]}")
        return self._documentation.documented(schema, value)

    def _response(self, response: httpx.Response) -> Schema:
        status = str(response.status_code)
        if status not in self._description["responses"]:
            raise Undocumented(f"{self._name} describes no status {status}")
        return self._documentation.resolved(self._description["responses"][status])

    def _body_schema(self, request: httpx.Request) -> Schema | None:
        content = self._description.get("requestBody", {}).get("content", {})
        found: Schema | None = content.get(_media_type(request.headers), {}).get("schema")
        return found

    def _check_value(self, what: str, schema: Schema | None, texts: list[str]) -> None:
        if schema is None:
            raise Undocumented(f"{self._name} describes no {what.removeprefix('the ')}")
        values = [_read(text, schema.get("items", schema)) for text in texts]
        value = values if schema.get("type") == "array" or len(values) > 1 else values[0]
        if not self._documentation.is_valid(schema, value):
            raise Undocumented(f"{self._name} does not describe {what} with the value {value!r}")


def _member(branches: list[Schema], name: str) -> list[Schema]:
    """Return the schema of a member as a list, which is empty if no branch describes it."""
    described = [branch["properties"][name] for branch in branches if name in branch.get("properties", {})]
    if not described and any(branch.get("additionalProperties") for branch in branches):
        described = [branch["additionalProperties"] for branch in branches if branch.get("additionalProperties")]
    if not described and not any(_describes_members(branch) for branch in branches):
        return [{}]  # any object
    parts = [part for part in described if isinstance(part, Mapping)]
    return [{"allOf": parts}] if described else []


def _describes_members(schema: Schema) -> bool:
    return "properties" in schema or "additionalProperties" in schema


def _media_type(headers: httpx.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()


def _read(text: str, schema: Schema) -> Any:
    """Read a parameter, as its schema says."""
    if schema.get("type") == "boolean":
        return _FLAGS.get(text, text)
    if schema.get("type") == "integer":
        return int(text) if re.fullmatch("-?[0-9]+", text) else text
    return text
