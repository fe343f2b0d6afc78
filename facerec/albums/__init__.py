"""Folders of photos of nobody knows whom: who is alike, and who belongs together."""
