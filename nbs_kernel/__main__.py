"""What a kernelspec starts: see `nbs_kernel.launcher`."""

from __future__ import annotations

import sys

from nbs_kernel.launcher import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
