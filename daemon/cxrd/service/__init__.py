"""The composition root: the only place that constructs. Settings go in, running roles come out."""
