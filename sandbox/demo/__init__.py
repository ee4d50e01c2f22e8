"""A small standard environment of the host's programs, and a build that fails in it."""
