"""Searches a recipe's settings: many runs, one table."""
