"""Builders of what the operator makes: pods, jobs, claims, access. They return plain objects, ready to apply."""
