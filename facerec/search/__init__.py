"""Nearest neighbours: the index, the people behind its vectors, and everybody among the others."""
