"""What a kernelspec starts: see `nbs_kernel.launcher`.

It is started with `python -P`. A kernel begins in the directory of its notebook, which may be full
of somebody else's files, and without that option Python looks there first for every module.
"""

from __future__ import annotations

import sys

from nbs_kernel.launcher import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
