"""Converts columns of Arrow arrays, cells of CSV and values of JSON to canonical columns (`shared.bulk`)."""
