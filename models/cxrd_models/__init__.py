"""The trainer: architectures, training, evaluation and export of the model packages that cxrd loads."""
