"""Identify people, and with which assurance: keys and digests, addresses of logins, authentication results."""
