"""A photo's bytes to pixels."""
