"""Reads uploads of Arrow and Parquet, which are validated in full before they are believed."""
