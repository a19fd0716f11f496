"""Architectures of Hugging Face transformers, trained by the platform's own loop. No code is ever fetched, and weights
only where the operator has allowed the Hub (AUTOML_HUB=1)."""

import os

HUB_ALLOWED = os.environ.get("AUTOML_HUB", "").lower() in ("1", "true", "yes", "on")
if not HUB_ALLOWED:
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: it looks once
