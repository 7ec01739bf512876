"""Tokens out of models: answers to prompts, likelihoods of choices, scores of answers."""
