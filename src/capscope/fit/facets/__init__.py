"""Abilities of agents as sums of parts: model, scaffold, effort, and what does not add up."""
