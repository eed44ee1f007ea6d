"""The cluster status (workers, model and backlog), and the recovery of lost batches."""
