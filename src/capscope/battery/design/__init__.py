"""Which items to draw, with known chances."""
