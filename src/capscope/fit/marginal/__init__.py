"""Marginal maximum likelihood, for many persons and few items."""
