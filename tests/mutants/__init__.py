"""Faults put into the engine on purpose, to see that a test notices each: ``make mutants``."""
