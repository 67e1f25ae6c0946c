"""Comparisons of models: two item by item, all of a suite, and those judged in pairs."""
