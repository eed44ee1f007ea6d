"""All of Sepal on one machine, under one supervisor: what `make run` starts."""
