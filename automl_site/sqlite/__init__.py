"""Django's backend for SQLite, whose writers wait in turn (`base.py`)."""
