"""Kalman filters, Elman networks, and the exact bridge between the two."""
