"""The messages that Stopit sends: facts, templates, rendering, and the check that nothing of a reporter is in them."""
