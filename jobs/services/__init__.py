"""Writes: what a user, a page, a contract or the admin may do with jobs. What workers do stands in jobs/lifecycle.py."""
