"""The parts of the benchmark: modules with one measuring function each."""
