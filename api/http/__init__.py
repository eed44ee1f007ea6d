"""HTTP: requests in, responses out. Status codes exist here alone."""
