"""The gateway: validates rows, enqueues predictions and returns results; needs neither scikit-learn nor the worker."""
