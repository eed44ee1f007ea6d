"""What a gateway knows of the workers, the model and the backlog, and what it does about lost batches."""
