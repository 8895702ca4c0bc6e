"""The store sync: makes the files of one claim match what the bundles on it say."""
