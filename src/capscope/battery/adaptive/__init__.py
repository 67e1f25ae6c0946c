"""Adaptive batteries: choose an item, ask the model, grade the reply, update the estimates, until a stop rule holds."""
