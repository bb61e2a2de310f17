"""What a package is worth: figures with intervals, calibration, places, groups of people, and the report of it all."""
