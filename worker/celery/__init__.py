"""The Celery worker: configuration, the task, the steps of the consumer, and kombu's transport."""
