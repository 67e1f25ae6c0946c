"""Answers as the engines read them: surveyed, packed, laid out in memory or on disk."""
