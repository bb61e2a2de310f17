"""Model packages and what they answer: digests checked, graphs run, probabilities made findings."""
