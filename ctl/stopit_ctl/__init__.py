"""stopitctl: the postmaster's tool to set Stopit up, inspect it and repair it. Each command has a module."""
