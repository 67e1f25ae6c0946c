"""Distributions of scores given log-odds."""
