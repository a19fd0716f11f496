"""Image classification: data in the forms that people have it, three classic networks in plain torch, predictions."""
