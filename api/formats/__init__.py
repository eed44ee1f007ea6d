"""Reads uploads into the object store and writes results from it, in processes of their own (`api.bulk.wire`)."""
