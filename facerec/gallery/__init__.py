"""The people somebody enrolled, in a folder that survives crashes and forgets who is removed."""
