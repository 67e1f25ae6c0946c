"""Answers as engines read them: summarised, packed, and laid out in memory or on disk."""
