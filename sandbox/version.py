"""The version of this project, also in `pyproject.toml`; a test compares the two."""

VERSION = "0.1.0"
