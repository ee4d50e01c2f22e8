"""Feed the parsers with mutated texts: `python tests/fuzz/fuzz_parsers.py --seconds 60`.

Uses atheris, which is guided by coverage, where it can be imported, and else plain mutation of the
corpus. An input that breaks a target is kept in `corpus/<target>/`, and from then on
`test_corpus.py` runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from tests.fuzz.targets import TARGETS  # noqa: E402  the path to it has to be set first

CORPUS = os.path.join(HERE, "corpus")

TOKENS = [
    b'Derive([("out","","","")],[', b"DrvWithVersion(", b'"xp-dyn-drv"', b'",["out"])', b"(", b")",
    b"[", b"]", b",", b'"', b"\\", b'\\"', b"\\n", b"\\\\", b"$'", b"'", b'$"', b"=", b"=(", b"\n",
    b"\0", b"declare -x A=", b"declare -ax B=", b"declare -rx ", b"export C=", b"typeset -x ",
    b"\\x", b"\\u", b"\\U0010ffff", b"\\ud800", b"\\c", b"\\0", b"\\377", b"\xff", b"\xc3\xa9",
    b"/nix/store/", b"3n58xw4373jp0ljirf06d8077j15pc4j-", b"..", b"passAsFile", b"__json", b"{",
    b"}", b":", b"1e999", b"NaN", b"null", b"1e15", b"exportReferencesGraph", b"impureEnvVars",
    b"@0123456789abcdef ", b"done 1 10", b"answer 1 ", b"\x1e", b"source", b"main", b"errexit",
    b"\n@nix {", b'"action":"result","type":101,', b'"id":1,', b'"fields":["', b"\x1b[31;1m",
    b"error: builder for '", b"' failed with exit code 137", b"Cannot build '/x.drv'.", b"Reason: ",
    b"note: keeping build directory '/tmp/x'", b"error: timed out after 1 seconds", b".drv",
    b'\n@nix {"action":"setPhase","phase":"buildPhase"}\n', b"Running phase: ", b"config.log",
    b"error: ", b"\r", b"\n--store\n", b"\nnix\nbuild\n", b"\n-L\n", b"\n--\n", b"-K",
]  # fmt: skip


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """A few changes: remove, repeat, insert, overwrite, splice."""
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 64)))
        change = chance.randrange(6)
        if change == 0:
            data = data[:at] + data[end:]
        elif change == 1:
            data = data[:end] + data[at:end] * chance.choice((1, 2, 50)) + data[end:]
        elif change == 2:
            data = data[:at] + chance.choice(TOKENS) + data[at:]
        elif change == 3:
            data = data[:at] + chance.choice(TOKENS) + data[end:]
        elif change == 4:
            data = data[:at] + chance.randbytes(end - at) + data[end:]
        else:
            data = data[:at] + other[chance.randint(0, len(other)) :]
    return data[:100_000]


def seeds(name: str) -> list[bytes]:
    """The corpus of one target."""
    folder = os.path.join(CORPUS, name)
    found = []
    for entry in sorted(os.listdir(folder)):
        with open(os.path.join(folder, entry), "rb") as file:
            found.append(file.read())
    return found


def keep(name: str, data: bytes) -> str:
    """Put what broke a target into the corpus."""
    path = os.path.join(CORPUS, name, "found-" + hashlib.sha256(data).hexdigest()[:12])
    with open(path, "wb") as file:
        file.write(data)
    return path


def run(name: str, seconds: float, seed: int) -> int:
    """Mutate for some seconds. The number of inputs that broke the target, at most one."""
    chance = random.Random(seed)
    known = seeds(name)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = mutate(chance.choice(known), chance.choice(known), chance)
        try:
            TARGETS[name](data)
        except Exception:
            traceback.print_exc()
            sys.stderr.write(f"{name}: kept as {keep(name, data)}, seed {seed}\n")
            return 1
        count += 1
        if chance.random() < 0.001 and len(known) < 2_000:
            known.append(data)
    sys.stderr.write(f"{name}: {count} inputs, none broke it, seed {seed}\n")
    return 0


def run_atheris(name: str, seconds: int) -> None:
    """Never returns: atheris ends the process."""
    import atheris

    atheris.instrument_all()
    folder = os.path.join(CORPUS, name)
    arguments = [sys.argv[0], f"-max_total_time={seconds}", f"-artifact_prefix={folder}/found-"]
    with_new_ones = os.path.join(CORPUS, f".{name}-atheris")
    os.makedirs(with_new_ones, exist_ok=True)
    atheris.Setup([*arguments, with_new_ones, folder], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed the parsers with mutated texts.")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run without atheris")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    each = given.seconds / len(names)
    if given.seed is None and _has_atheris():
        return max(_in_child(name, int(each)) for name in names)
    seed = random.randrange(2**32) if given.seed is None else given.seed
    return max([run(name, each, seed) for name in names])


def _has_atheris() -> bool:
    from importlib.util import find_spec

    return find_spec("atheris") is not None


def _in_child(name: str, seconds: int) -> int:
    child = os.fork()
    if child == 0:
        run_atheris(name, seconds)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    raise SystemExit(main())
