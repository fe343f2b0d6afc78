"""Photo files: reading, folders, crops, drawing."""
