"""Reads of jobs, models and workers."""
