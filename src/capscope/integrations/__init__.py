"""Adapters to the tools in which people evaluate and test; each calls the other rooms and decides nothing itself."""
