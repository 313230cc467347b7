"""Benchmarks: each a command that prints a table with ratios within one run."""
