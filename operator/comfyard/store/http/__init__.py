"""HTTP to sources: redirects, logins, proxies and TLS in our own hands, and what answers mean."""
