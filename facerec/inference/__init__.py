"""From photos to vectors: the runtimes behind one `Embedder`, and the pipeline that feeds them."""
