"""The gallery: a folder of enrolled people. It survives crashes and keeps nothing of people who were removed."""
