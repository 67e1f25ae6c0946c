"""Abilities of agents as sums of effects of model, scaffold and effort, and of interactions."""
