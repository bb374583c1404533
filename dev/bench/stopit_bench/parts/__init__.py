"""The parts of the benchmark, each a module with one function that measures it."""
