"""Evaluation of assessors on held-out answers: folds, metrics, paired differences."""
