"""From photos to vectors: the runtimes that embed faces, and the pipeline that feeds them with photos."""
