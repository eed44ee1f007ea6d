"""The Celery parent: configuration, the task, and kombu's transport."""
