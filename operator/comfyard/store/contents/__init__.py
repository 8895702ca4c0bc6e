"""Verified contents: where they lie, what is known of them, how they are checked, seen and removed."""
