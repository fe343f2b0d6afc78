"""A gallery served over HTTP: REST for programs, and a page for people."""
