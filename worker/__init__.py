"""The worker: runs the pipeline on batches from the queues; serves HTTP only for probes and metrics."""
