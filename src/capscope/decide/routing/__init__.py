"""Routing: the choice of a model for each request by chance of success and price, and cost per success."""
