"""Reads uploads of JSON (RFC 8259), which are bodies as `POST /predict` takes them, and of NDJSON, a row to a line."""
