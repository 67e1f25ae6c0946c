"""Adaptive batteries: ask, grade, update, choose the next item."""
