"""Settings, thresholds and chart of the load test in `locustfile.py`."""
