"""From distances to answers: the calibration of a threshold, the probability of a match, and the decision."""
