"""Figures for the README: ratios within one run, medians of several rounds. Run by ``make bench``."""
