"""Malformed uploads, whatever way they are sent: `table.CASES` lists them."""
