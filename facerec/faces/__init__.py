"""From photos to aligned faces: detection, alignment, and the quality of each face."""
