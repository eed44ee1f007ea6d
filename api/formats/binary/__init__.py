"""Reads uploads of Arrow and Parquet; every value is validated before it is used."""
