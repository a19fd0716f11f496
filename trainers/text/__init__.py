"""Text: documents in the forms that people have them in, tokenizers made from them, language models in plain torch."""
