"""The default engine: variational Bayes by sweeps over models and items, and the choice of the model to fit."""
