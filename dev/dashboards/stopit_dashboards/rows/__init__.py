"""The rows of the dashboards. A row holds the panels that together answer one question."""
