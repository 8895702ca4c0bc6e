"""What to do, decided from what was observed: one module a kind, no I/O. The runtime carries it out."""
