"""Measurements in, errors out: kinds of measurement, their predictions, and how far off these are."""
