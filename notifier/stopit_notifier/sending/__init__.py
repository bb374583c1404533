"""From the outbox to the MTA: claims, the final check, results, recovery after a crash."""
