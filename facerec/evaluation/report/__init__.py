"""Reports for people: an evaluation's figures as tables for the terminal and as one self-contained HTML page."""
