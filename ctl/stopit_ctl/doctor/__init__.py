"""`stopitctl doctor` and its probes, a module each."""
