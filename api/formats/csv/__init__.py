"""Reads uploads of CSV (RFC 4180, in UTF-8)."""
