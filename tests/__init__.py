"""Sepal's tests: unit, contract, integration and acceptance, by folder."""
