"""`stopitctl doctor` and its probes, one module each."""
