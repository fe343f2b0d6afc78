"""The protocols that measure a model or a gallery, and their reports."""
