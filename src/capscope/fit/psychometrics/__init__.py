"""What a psychometrician asks of a fit: scores, item fit, linking, calibration, differential functioning."""
