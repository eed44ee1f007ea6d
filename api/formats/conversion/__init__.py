"""Converts Arrow arrays, CSV cells and JSON values to canonical columns (`shared.bulk`)."""
