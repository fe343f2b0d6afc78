"""The command line. A command parses, calls the library once and prints; nothing else in facerec prints."""
