"""The backends of queue and ledger on SQLite and Redis, and the code that they share."""
