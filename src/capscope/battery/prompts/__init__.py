"""Prompts as a facet: a model's accuracy over prompts, and the items whose answers depend on the prompt."""
