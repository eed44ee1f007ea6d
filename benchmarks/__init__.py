"""The benchmarks behind the numbers in the documentation."""
