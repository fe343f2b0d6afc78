"""Photo files: reading them, finding them in folders, cutting crops, drawing on them."""
