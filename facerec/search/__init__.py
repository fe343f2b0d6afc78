"""Nearest-neighbour search: the vector index, people and their means, and leave-one-out comparisons."""
