"""The SMTP client and its pool of connections."""
