"""From distances to answers: the threshold a gallery calibrates, the probability, and the decision."""
