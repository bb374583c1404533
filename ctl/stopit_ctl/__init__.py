"""stopitctl: how a postmaster sets Stopit up, looks into it and mends it. One module for each group of commands."""
