"""The table processes: read uploads into the object store, and write results from it (`api.bulk.wire`)."""
