"""The commands of the kernel itself: `%name` at the start of a cell."""
