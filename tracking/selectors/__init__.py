"""Reads of this app."""

from tracking.selectors.accounts import local_user_id

__all__ = ["local_user_id"]
