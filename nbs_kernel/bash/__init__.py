"""Drives one bash, cell by cell, over private channels."""
