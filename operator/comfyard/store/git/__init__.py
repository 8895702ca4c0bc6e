"""Commits, and files of them, from git servers."""
