"""Parts of `benchmarks/robustness.py`: right inputs, ways to damage them, and judges of what is read."""
