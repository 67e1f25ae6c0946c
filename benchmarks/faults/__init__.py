"""What `benchmarks/robustness.py` is made of: inputs that are right, ways to damage them, and judges of what is read."""
