"""Labelled photos as training and evaluation take them: folders, splits, pairs, groups, batches."""
