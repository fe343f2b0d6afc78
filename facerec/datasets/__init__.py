"""Labelled photos for training and evaluation: folders, splits, pairs, groups, attributes and batches."""
