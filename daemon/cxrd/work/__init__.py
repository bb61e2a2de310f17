"""The roles that take work from the queue: infer, build, and the loop and chores around them."""
