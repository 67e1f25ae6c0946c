"""The default engine: block natural-gradient variational Bayes in plain torch."""
