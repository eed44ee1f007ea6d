"""The worker: runs the model on batches from the queues. HTTP only for probes and metrics."""
