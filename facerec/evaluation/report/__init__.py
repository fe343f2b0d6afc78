"""What an evaluation measured, for people: tables for the terminal, and one self-contained HTML page."""
