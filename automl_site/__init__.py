"""Composition root: settings, URL map, ASGI application, the supervisor behind `manage.py up`."""

__version__ = "0.1.0"
