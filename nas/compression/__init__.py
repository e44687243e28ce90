"""Makes trained networks smaller: quantization, pruning, clustering, each fine-tuned and measured as a file."""
