"""Full posteriors of Pyro programs: Laplace, stochastic variational inference, NUTS."""
