"""Malformed uploads, independent of how they are sent; `table.CASES` lists them."""
