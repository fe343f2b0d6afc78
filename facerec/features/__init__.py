"""The features that a stage of a network computes from photos, for other learners and for people to look at."""
