"""Folders of photos without names: search their faces, and group them by person."""
