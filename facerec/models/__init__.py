"""Backbones, the network that is built on them, its card, and the folder it is stored in."""
