"""Writes: what a user, a page, a contract or the admin may do. What workers do stands in jobs/lifecycle.py."""
