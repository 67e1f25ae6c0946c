"""Adapters to evaluation and test tools (Inspect, pytest), without logic of their own."""
