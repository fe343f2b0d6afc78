"""Parts of train.py: the learner, what it is fed, how it goes on, what it leaves."""
