"""Help where the user types: completion, inspection and history, without the shell's own."""
