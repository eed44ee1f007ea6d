"""The command line `sepal`."""
