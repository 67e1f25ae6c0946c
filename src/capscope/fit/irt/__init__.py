"""Item response models: settings, score models, posterior, population of items, advice."""
