"""The benchmark: the cost of Stopit, measured against a C filter that does nothing, in the same run.

Machines differ and are noisy, so the figures are ratios: all filters are measured in turn (A B, B A ...), each round
gives a ratio, and the figure is the median of the rounds. This package is not shipped.
"""
