"""Prompts as a facet: a model's accuracy over prompts, and the items that turn on the prompt."""
