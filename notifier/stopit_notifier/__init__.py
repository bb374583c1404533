"""stopit-notifier: from reports on the queue to cases, and from cases to mail."""
