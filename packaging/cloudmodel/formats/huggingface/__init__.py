"""Hugging Face folders of text models: config.json, weights, tokenizer."""
