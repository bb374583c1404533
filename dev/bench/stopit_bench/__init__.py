"""The benchmark: what Stopit costs, measured against a C filter that does nothing, side by side in one run.

Machines differ and are noisy, so what counts are ratios: all sides are measured in turn (A B A B ...), each round
gives a ratio, and the median of the rounds is the figure. Nothing here is shipped, and nothing here is a test.
"""
