"""Marginal maximum likelihood, for many models and few items."""
