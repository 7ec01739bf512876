"""Chat template, tokenizer, and the token rows that records become. Knows records; knows no model."""
