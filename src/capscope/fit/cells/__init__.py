"""Answers in the form that engines use: summarised, packed, and laid out in memory or on disk."""
