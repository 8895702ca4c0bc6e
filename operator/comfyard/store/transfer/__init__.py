"""Bytes from a source into an unfinished file: in parallel ranges, resumed, hashed on the way."""
