"""The pages of jobs, models and workers."""
