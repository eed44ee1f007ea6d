"""The gateway: validate, enqueue, wait, report. No model, no scikit-learn, no worker code."""
