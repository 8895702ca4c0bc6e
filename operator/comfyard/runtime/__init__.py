"""The operator as a process: kopf's watches, our queue, and the thin edges that carry out what the controllers plan."""
