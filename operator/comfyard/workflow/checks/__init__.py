"""What can be said of a graph and its parameters before any server sees them. Pure."""
