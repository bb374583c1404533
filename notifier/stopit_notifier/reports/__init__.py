"""From a report on the queue to a case: flags and answers."""
