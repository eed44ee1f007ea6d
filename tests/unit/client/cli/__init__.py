"""Unit tests of the command line `sepal`."""
