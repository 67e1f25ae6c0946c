"""Routing: which model answers which request, by chance of success and price."""
