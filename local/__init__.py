"""`make run`: all of Sepal on one machine, under one supervisor."""
