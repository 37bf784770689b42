"""Is the operation indicated, which procedure, which needle goes where, how much cement."""
