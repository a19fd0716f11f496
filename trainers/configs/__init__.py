"""The hyperparameters of every trainer, as pydantic models: validation, OpenAPI and forms all come from them."""
