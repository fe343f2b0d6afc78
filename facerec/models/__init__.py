"""Backbones, the network built on them, what of it trains, and the folder it is stored in."""
