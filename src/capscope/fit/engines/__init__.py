"""The engines that fit a model."""
