"""biddable: the whole InstructGPT loop, from people's labels to an aligned model and back to a human verdict."""

__version__ = "0.1.0"
