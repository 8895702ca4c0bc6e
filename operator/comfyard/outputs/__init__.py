"""Where results go: a claim or an S3 bucket. Knows nothing of Kubernetes."""
