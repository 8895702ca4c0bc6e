"""The only client of the API server, behind a small Protocol. Objects are plain JSON dictionaries."""
