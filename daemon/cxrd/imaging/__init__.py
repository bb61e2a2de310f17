"""Headers and pixels: pure, and the same code for training and serving."""
