"""The runs behind the numbers in the documentation."""
