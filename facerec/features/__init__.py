"""What the stages of a network make of photos, for other learners and for people to look at."""
