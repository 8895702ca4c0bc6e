"""The model store: fetch files, verify them, lay them out on one volume. Knows no Kubernetes.

All of it blocks, but for `fetcher`, which puts it in threads.
"""
