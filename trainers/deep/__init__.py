"""The ground of the torch trainers: where they compute, how they loop, what they resume from."""
