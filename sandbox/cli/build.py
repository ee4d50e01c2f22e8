"""`nbs build [-- COMMAND…]`: the user's own build; and when it fails, the place where it failed."""

from __future__ import annotations

import os
import shlex
import sys

import sandbox
from sandbox.cli import arguments, building, entering, keeping, speak
from sandbox.cli.pasteable import as_root, called
from sandbox.errors import Error, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cli.arguments import Arguments

USAGE = """\
usage: nbs build [OPTIONS] [-- COMMAND [ARG…]]

Run a build, with what a failure leaves kept, and enter the sandbox of what fails.
COMMAND is `nix-build …`, `nix build …` or `nix-store -r …`; other words are nix-build's.

  nbs build -- -A hello              nix-build -A hello
  nbs build -- nix build .#hello     a flake
  nbs build --no-enter -- -A hello   only print the command that would enter
  nbs build --notebook -- -A hello   a notebook about the failure, in JupyterLab

The options are those of `nbs shell --help`, --no-enter, and --notebook.
"""
FLAGS = (*(flag for flag in arguments.FLAGS if flag != "--version"), "--no-enter", "--notebook")
OF_NOTEBOOKS = ("--derivation", "--no-enter", "--notebook", "--store")
NOT_OF_ENTERING = ("--no-enter", "--notebook")
NOT_ENTERED = ("hash-mismatch",)
"""Builds that ended well, with what was not wanted: nothing failed where one would be put."""


def command(argv: list[str]) -> int:
    """Build; what comes of it; enter, or tell how."""
    given = arguments.parse(argv, "nbs build", FLAGS)
    if given.has("--help"):
        sys.stdout.write(USAGE)
        return 0
    _check_notebook(given)
    words = given.rest[1:] if given.rest[:1] == ("--",) else given.rest
    asked = sandbox.nix_command(words, given.get("--store"))
    store = os.path.abspath(asked.store) if _is_path(asked.store) else asked.store
    before = sandbox.kept_before(store)
    status, report = building.run(asked)
    if status == 0:
        return 0
    failed = sandbox.failed_builds(report, store, before, keeps_going=asked.keeps_going)
    given = given.replace(options=given.options | ({"--store": store} if store else {}))
    chosen = _chosen(failed, report, given)
    for line in _told(chosen or failed, report, asked):
        speak.say(line)
    may_enter = all(_may_enter(one, report) and not _is_undecided(one, given) for one in chosen)
    if not chosen or not may_enter:
        _print_commands(chosen or failed, given)
        return status
    if given.has("--notebook"):
        return _notebooks(chosen, given, status)
    one = chosen[0]
    if one.named:
        given = given.replace(options=given.options | {"--derivation": one.named})
    return keeping.begin(
        given, one.kept, lambda described, _, again: banner(one, described, again, store)
    )


def _check_notebook(given: Arguments) -> None:
    others = [name for name in given.options if name not in OF_NOTEBOOKS]
    others += ["--with-tool"] if given.tools else []
    if given.has("--notebook") and others:
        raise UsageError(
            f"`--notebook` does not go with `{others[0]}`",
            reason="option-value",
            hint="`nbs build --help` lists the options",
        )


def _notebooks(chosen: tuple[sandbox.FailedBuild, ...], given: Arguments, status: int) -> int:
    """A notebook about each. One is opened, if somebody is there; else how to is told."""
    from sandbox.cli import notebook

    files = []
    for one in chosen:
        speak.say("\n".join([summary(one), *first_error(one)]))
        derivation = one.named or given.get("--derivation")
        failure = notebook.describe(one.kept, store=given.get("--store"), derivation=derivation)
        wanted = (("needed by", ", ".join(one.wanted_by[:3])),) if one.wanted_by else ()
        failure = failure.replace(ending=ending(one), facts=(*failure.facts, *wanted))
        files.append(notebook.write_beside(failure))
    if len(files) == 1 and _at_terminal():
        return notebook.open_in_lab(files[0])
    words = shlex.join(("jupyter", "lab", os.path.dirname(os.path.abspath(files[0]))))
    speak.say(f"`{words}` opens what was written, `nbs report FILE.ipynb` runs it")
    return status


def _at_terminal() -> bool:
    return all(os.isatty(fd) for fd in (0, 1, 2))


def _is_path(store: str) -> bool:
    return "/" in store and "://" not in store and "?" not in store


def _may_enter(one: sandbox.FailedBuild, report: sandbox.Report) -> bool:
    usable = one.kept and one.readable and not one.unclear and one.failure.kind not in NOT_ENTERED
    return bool(usable) and not report.interrupted


def _is_undecided(one: sandbox.FailedBuild, given: Arguments) -> bool:
    """Was it built without a sandbox, and does nobody say yet whether to make one?"""
    decided = {"--sandboxed", "--unsandboxed", "--notebook"}.intersection(given.options)
    if decided or not one.kept or not one.readable:
        return False
    if one.named:
        given = given.replace(options=given.options | {"--derivation": one.named})
    try:
        sandbox.describe(*entering.prepare(given, one.kept, ()))
    except Error as error:
        return error.reason == "build-not-sandboxed"
    return False


def _chosen(
    failed: tuple[sandbox.FailedBuild, ...], report: sandbox.Report, given: Arguments
) -> tuple[sandbox.FailedBuild, ...]:
    """What to enter, or to write notebooks about; empty if there is nothing, or nobody to choose.

    Without a terminal nothing is entered, and there is a notebook of each.
    """
    usable = tuple(one for one in _failures(failed) if _may_enter(one, report))
    if given.has("--no-enter") or not usable:
        return ()
    if not _at_terminal():
        return usable if given.has("--notebook") else ()
    several = _failures(failed)
    return usable if len(several) == 1 else _choose(several, usable, given.has("--notebook"))


def _failures(failed: tuple[sandbox.FailedBuild, ...]) -> tuple[sandbox.FailedBuild, ...]:
    """Without those that were only stopped because another failed."""
    return tuple(one for one in failed if one.failure.kind != "stopped") or failed


def _choose(
    failed: tuple[sandbox.FailedBuild, ...],
    usable: tuple[sandbox.FailedBuild, ...],
    notebooks: bool,
) -> tuple[sandbox.FailedBuild, ...]:
    speak.say(f"{len(failed)} builds failed:")
    for number, one in enumerate(failed, 1):
        speak.say("\n   ".join([f"  {number}  {summary(one)}", *first_error(one)]))
    question = "Enter which one? [1, or q for none] "
    if notebooks:
        question = "A notebook about which one? [1, a for one about each, q for none] "
    while True:
        print(question, end="", file=sys.stderr, flush=True)
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
        word = answer.strip() or ("1" if answer else "q")
        if word in ("q", "0", "n", "none"):
            return ()
        if notebooks and word in ("a", "all") and usable:
            return usable
        if word.isascii() and word.isdigit() and 0 < int(word) <= len(failed):
            return (failed[int(word) - 1],)


def summary(one: sandbox.FailedBuild) -> str:
    """A failure in one line: what, in which phase, how it ended, and for what it was wanted."""
    phase = one.log.failing_phase if one.log is not None else ""
    where = f" in {phase}" if phase else ""
    if one.failure.kind == "stopped":
        return sandbox.one_line(f"{one.name} was stopped{where}")
    text = f"{one.name} failed{where} ({ending(one)})"
    if one.wanted_by:
        text += f"; {', '.join(one.wanted_by[:3])}, which was asked for, needs it"
    return sandbox.one_line(text)


def ending(one: sandbox.FailedBuild) -> str:
    """How the build ended, as Nix said it, else as its log does."""
    failure = one.failure
    code = "" if failure.code is None else f" {failure.code}"
    words = {
        "exit": f"exit{code}",
        "signal": f"signal{code}",
        "killed": f"killed{', exit 137' if code == ' 137' else ''}",
        "timeout": f"ended by a timeout{' of' + code + ' s' if code else ''}",
        "hash-mismatch": "hash mismatch",
        "no-output": "an output is missing",
        "rejected": "what it made was not taken",
        "system": "not for this machine",
        "interrupted": "interrupted",
    }
    told = sandbox.ending_text(one.log) if one.log is not None else ""
    return words.get(failure.kind, told or "failed")


def banner(
    one: sandbox.FailedBuild, described: sandbox.Sandbox, again: str, store: str = ""
) -> tuple[str, ...]:
    """At most five lines: what failed, where, the first error, what differs, what to do next."""
    _, *differences = sandbox.introduction(described, one.log)
    lines = [summary(one), f"  kept in {one.kept}; its sandbox as {described.profile} makes it"]
    lines += first_error(one)
    if differences:
        lines.append("  " + "; ".join(differences))
    again = f"↑ runs {again.removeprefix('phase ')} again · " if again else ""
    in_store = ("--store", store) if store else ()
    words = shlex.join(("nbs", "log", *in_store, "--errors", one.kept))
    lines.append(f"  next: {again}`exit` leaves · outside: {called(words)}")
    return tuple(map(sandbox.one_line, lines))


def first_error(one: sandbox.FailedBuild) -> list[str]:
    """The line of the log that explains the failure, if there is one."""
    if one.log is None or one.log.error is None:
        return []
    found = one.log.error
    return [f"  line {found.line} of {len(one.log.lines)}: {sandbox.one_line(found.text).strip()}"]


def _told(
    failed: tuple[sandbox.FailedBuild, ...], report: sandbox.Report, asked: sandbox.NixCommand
) -> list[str]:
    """What is special about a failure, and the way on; empty if it is one like others."""
    told: list[str] = []
    if report.interrupted:
        told.append("interrupted; what was being built is kept as it was at that moment")
    for one in failed:
        told += [f"{one.name}: {text}" for text in _special(one, asked)]
    if report.no_space or any(_ended_without_space(one) for one in failed):
        told.append("no space was left: `df -h`, `nix-collect-garbage`; build-dir in nix.conf")
    if report.kept_elsewhere and not any(one.failure.machine for one in failed):
        here = shlex.join(asked.here_alone())
        told.append(f"what failed is kept on a remote builder; to build here: `{here}`")
    return told


def _special(one: sandbox.FailedBuild, asked: sandbox.NixCommand) -> list[str]:
    told = [_not_here(one, asked), _how_it_ended(one)]
    if one.unclear:
        told.append(
            f"nothing tells which derivation was built in {one.kept}: `--derivation` names it"
        )
    if one.kept and not one.readable:
        told.append("what was kept cannot be read by you")
    return [text for text in told if text]


def _not_here(one: sandbox.FailedBuild, asked: sandbox.NixCommand) -> str:
    """Why nothing of a build is kept on this machine; empty if something is."""
    if one.failure.machine:
        here = shlex.join(asked.here_alone())
        return f"built on {one.failure.machine}, and kept there; to build here: `{here}`"
    if one.builtin:
        return "Nix itself is the builder of this, and keeps nothing of it"
    if one.failure.kind == "system":
        return "this machine cannot build it, and no remote builder took it"
    if one.kept:
        return ""
    if asked.store.startswith(("ssh://", "ssh-ng://")):
        return f"built on the machine of {asked.store}: `nbs ls` there finds what was kept"
    which = f"it is not known which of these was kept of it: {', '.join(one.among)}"
    return which if one.among else "nothing of it was kept on this machine"


def _how_it_ended(one: sandbox.FailedBuild) -> str:
    """What a person has to know of an end that is not an ordinary one."""
    got = f"; the hash of what it made is {one.failure.got}" if one.failure.got else ""
    told = {
        "killed": "killed, mostly for want of memory: `journalctl -k -g oom`; try `--cores 1`",
        "timeout": "a timeout of Nix ended it: `--timeout 0 --max-silent-time 0` lets it run",
        "hash-mismatch": f"its hash is not the one that the recipe says{got}",
        "no-output": "its builder ended without an error, but an output is missing",
        "rejected": f"its builder ended without an error, but Nix says: {one.failure.text}",
        "stopped": "it did not fail: Nix ended it when another did; `--keep-going` lets it go on",
    }
    return told.get(one.failure.kind, "")


def _ended_without_space(one: sandbox.FailedBuild) -> bool:
    ended = one.log.ending if one.log is not None else None
    return ended is not None and ended.kind == "no-space"


def _print_commands(failed: tuple[sandbox.FailedBuild, ...], given: Arguments) -> None:
    """The commands that would enter, to be pasted: data if they were asked for, else talk."""
    for one in _failures(failed):
        if one.kept and not one.unclear:
            speak.say("\n".join([summary(one), *first_error(one)]))
            ways = [given]
            if _is_undecided(one, given):
                speak.say("it had no sandbox: the host, as it had it, or the sandbox of Nix")
                both = ("--unsandboxed", "--sandboxed")
                ways = [given.replace(options=given.options | {way: ""}) for way in both]
            speak.say("enter it with")
            lines = [sandbox.one_line(entering_command(one, way)) for way in ways]
            if given.has("--no-enter"):
                sys.stderr.flush()
                print(lines[0], flush=True)
            else:
                speak.say("\n".join(f"  {line}" for line in lines))


def entering_command(one: sandbox.FailedBuild, given: Arguments) -> str:
    """The command line that enters what failed, as this one would have."""
    options = {name: value for name, value in given.options.items() if name not in NOT_OF_ENTERING}
    if one.named:
        options["--derivation"] = one.named
    words = [word for name, value in options.items() for word in (name, value) if word]
    words += [f"--with-tool={tool}" for tool in given.tools]
    verb = "notebook" if given.has("--notebook") else "shell"
    command = shlex.join(("nbs", verb, *words, one.kept))
    return called(command) if one.readable else as_root(command)
