"""The gallery: enrolled people in a folder that survives crashes and keeps nothing of people who were removed."""
