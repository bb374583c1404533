"""The messages that Stopit sends: facts, templates, rendering, and the check that they hold nothing of a reporter."""
