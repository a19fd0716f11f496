"""Experiment tracking for the AutoML platform: `AIManager`, and the runs that it begins."""

from ai_manager.errors import AIManagerError, AuthenticationError, Refused, SettingsError, Unavailable
from ai_manager.manager import AIManager
from ai_manager.run import Run
from ai_manager.version import __version__

__all__ = [
    "AIManager",
    "AIManagerError",
    "AuthenticationError",
    "Refused",
    "Run",
    "SettingsError",
    "Unavailable",
    "__version__",
]
