"""The training loop and its parts: losses, schedules, optimiser, checkpoints."""
