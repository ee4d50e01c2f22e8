"""What is known of single commands of the documentation: which are not tried, and how others end."""

from __future__ import annotations

UNTRIED = {
    "it stays until somebody ends it; tests/kernel/frontends has JupyterLab": (
        ".venv/bin/mkdocs serve",
        "NBS_WITH_TOOLS=strace:gdb jupyter lab",
        "jupyter lab",
        "jupyter lab notebooks",
        "nbs notebook",
        "nbs notebook hello",
        "nbs notebook hello fixing-hello.ipynb",
    ),
    "it takes some seconds; tests/kernel/frontends/test_batch.py and test_report.py run it": (
        "jupyter nbconvert --execute --to html investigation.ipynb",
        "nbs notebook --no-open hello failure.ipynb && nbs report failure.ipynb",
        "nbs report hello-1.0.ipynb -o /tmp/it.html",
        "nbs report hello-1.0.ipynb",
        "nbs report investigation.ipynb",
        "papermill investigation.ipynb result.ipynb",
        "pytest --nbmake investigation.ipynb",
    ),
    "it installs what tests/test_installing.py and tests/test_packaging.py install": (
        "pip install '.[kernel]' jupyterlab",
        "pipx install '.[kernel,demo]'",
        "pip install '.[kernel]' jupyterlab jupyter_console && jupyter lab",
        "python3 -m venv .venv && . .venv/bin/activate && pip install '.[demo]' && nbs demo",
        "python3 -m venv .venv && . .venv/bin/activate && pip install '.[kernel,demo]' jupyterlab",
        "python3 -m venv .venv && . .venv/bin/activate && pip install '.[kernel]'",
    ),
    "tests/nix/test_flake.py has the flake": (
        "nix profile install",
        "nix profile install .#",
        "nix run .# -- doctor",
    ),
    "it wants nixpkgs": (
        "nix develop --check",
        "nix-build -E 'with import <nixpkgs> { }; callPackage ./package.nix { }'",
    ),
    "newer releases of Nix have it": ("nix derivation show",),
    "it changes the machine, as root": (
        "sudo nbs kernel install --prefix /usr/local",
        "sudo python3 -m venv --copies /opt/nbs && sudo /opt/nbs/bin/pip install .",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    "it writes a page of the documentation": ("python3 tests/test_reference.py",),
    "it wants a Jupyter on another machine": (
        "jupyter lab --port 8889 --gateway-url http://localhost:8888",
        "ssh -L 8888:localhost:8888 builder",
        "ssh -L 8888:localhost:8888 builder jupyter lab --no-browser --port 8888",
    ),
    "tests/kernel/frontends/test_gateway.py has one": (
        "jupyter kernelgateway --JupyterWebsocketPersonality.list_kernels=True",
    ),
    "tests/documentation/test_ssh.py types it": (
        "ssh builder .local/bin/nbs ls",
        "ssh builder 'nbs show hello --json' | jq .log.error",
        "ssh builder nbs log hello --errors",
        "ssh builder nbs ls",
        "ssh builder nbs phase hello",
        "ssh -t builder 'cd nbs && python3 -m sandbox.cli.nbs shell hello'",
        "ssh -t builder nbs shell hello",
        "ssh -t builder nix-build-shell /tmp/nix-build-hello-1.0.drv-0",
        "tar c sandbox | ssh builder 'mkdir -p nbs && tar x -C nbs'",
    ),
    "it is the tests themselves, or runs for minutes": (
        "./test",
        "./test tests/model -k profile",
        "python3 benchmarks/differences.py",
        "python3 benchmarks/enter.py",
        "python3 benchmarks/kernel.py",
        "python3 benchmarks/workspace.py",
        "python3 tests/twin/with_nix.py 2.26",
        "python3 tests/twin/with_nix.py 2.34",
    ),
    "tests/notebooks has the builds of the notebooks": (
        "notebooks/builds/make.py",
        "nbs patch ledger -o ledger.patch",
        "nbs verify ledger --real",
        "nbs verify ledger --to-end",
    ),
}
"""What is not tried here, by the reason."""

ENDS = {
    # Nix's own status of a build that failed.
    "nix build --keep-failed .#hello": 1,
    "nix flake check": 100,
    "nix-build --keep-failed": 100,
    "nbs build --": 100,
    "nbs build -- -A app": 100,
    "nbs build -- -A hello": 100,
    "nbs build -- nix build .#app": 1,
    "nbs build -- nix build .#hello": 1,
    "nbs build -- nix flake check": 100,
    "nbs build -- nix-store -r /nix/store/….drv": 100,
    "nbs build --no-enter -- -A hello": 100,
    "nbs build --no-enter -- app.nix -A hello 2>/dev/null": 100,
    "nbs build --notebook": 100,
    "nbs build --notebook -- -A app": 100,
    "nbs build --notebook -- -A hello": 100,
    "nbs build --notebook -- app.nix -A app": 100,
    "nix-build --keep-failed -A hello || {\nnbs show\nnbs phase --trace 2>&1 | tail -n 100\nexit 1\n}": 1,
    # No build is named.
    'nix-build-shell "" make': 2,
    "nbs build -- sudo nix-build": 2,
    "python3 -m sandbox.cli.nix_build_shell": 2,
    # A phase that fails again, as it should: by make, or because bash finds no interpreter.
    "nbs demo -- bash ./test.sh": 0,
    "nbs phase": 2,
    "nbs phase --clean": 2,
    "nbs phase --clean hello": 2,
    "nbs phase --clean hello checkPhase": 2,
    "nbs phase hello": 2,
    "nbs phase hello --clean": 2,
    "nbs phase hello --from buildPhase": 2,
    "nbs phase hello -j1": 2,
    "nbs phase hello checkPhase doCheck=1": 2,
    "nbs phase hello preCheck='export HOME=$TMPDIR'": 2,
    "nbs shell hello -- make -k check": 2,
    "nbs shell hello -- make check": 2,
    "nix-build-shell --with-tool strace /tmp/nix-build-hello-1.0.drv-0 tool strace -f -o trace make check": 2,
    "nix-build-shell /tmp/nix-build-hello-1.0.drv-0 make check": 2,
    "nbs cp hello:/dev out": 1,
    "nbs shell --with-tool gdb hello -- tool gdb -nx -batch -ex run -ex bt --args ./hello": 1,
    # There is a difference.
    "nbs diff": 1,
    "nbs diff --exact": 1,
    "nbs diff --json": 1,
    "nbs diff hello": 1,
    "nbs diff hello > all.diff": 1,
    "nbs diff hello --exact": 1,
    "nbs diff hello /tmp --stat": 1,
    "nbs diff hello src/main.c": 1,
    "nbs diff hello-2.0": 1,
    "nbs plan first --diff second": 1,
    "nbs plan hello --diff hello --profile lix-2.94": 1,
    "nbs plan hello --diff world": 1,
}
"""Exit statuses that are not 0."""

BEFORE = {
    "docs/how-to/files.md": ("git init --quiet",),
    "docs/man/nbs.1": ("nbs kernel install --build hello",),
    "nbs kernel --help": ("nbs kernel install --build hello",),
    "nbs restore --help": ("nbs snapshot before-sed",),
    "nbs snapshots --help": ("nbs snapshot one",),
    "nbs diff --help": ("nbs snapshot works",),
}
"""What somebody has done who reads a page."""
