"""Reads uploads of JSON (RFC 8259), whose bodies are those of `POST /predict`, and of NDJSON, one row per line."""
