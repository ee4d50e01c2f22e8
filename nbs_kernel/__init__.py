"""A Jupyter kernel that runs inside the sandbox of a failed Nix build: cells are bash."""
