"""The decisions, all pure: the disposition of a message, the sender of an original, the policy on a report."""
