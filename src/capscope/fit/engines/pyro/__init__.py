"""Full posteriors in Pyro: NUTS and stochastic variational inference."""
