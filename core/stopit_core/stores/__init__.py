"""The backends of queue and ledger on SQLite and Redis, and what they share."""
