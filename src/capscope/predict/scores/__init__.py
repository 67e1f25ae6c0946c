"""Scores on whole benchmarks: effects of benchmarks, labels, and intervals."""
