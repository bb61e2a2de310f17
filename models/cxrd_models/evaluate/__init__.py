"""Metrics with confidence intervals, calibration, thresholds and the frozen-feature baseline."""
