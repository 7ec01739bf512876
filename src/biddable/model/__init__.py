"""Parameter tensors: causal language models, the scalar head, rows of tokens, checkpoints."""
