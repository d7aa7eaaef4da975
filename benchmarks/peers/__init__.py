"""Other implementations of the same problems; their answers are checked before anything is timed."""
