"""Psychometrics of a fit: reliability and scores, item fit, residuals, linking, meaning of dimensions."""
