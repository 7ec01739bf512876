"""What a model is asked in public benchmarks, word for word, and what is kept of its answers. Loads no model."""
