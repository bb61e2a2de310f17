"""Results out: stored bytes to each destination until it has them, or says for good that it will not."""
