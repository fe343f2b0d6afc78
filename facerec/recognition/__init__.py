"""Enroll people, identify and verify photos, and give a gallery another model."""
