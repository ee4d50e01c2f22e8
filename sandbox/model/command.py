"""The command line that runs inside, and the environment it starts from.

No variable of the caller is in it. TERM of an interactive terminal is the one exception.
"""

from __future__ import annotations

from sandbox.errors import CommandError, EvidenceError
from sandbox.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.model.aterm import Derivation
    from sandbox.model.facts import EnvVars, KeptDirectory, NixFacts, Request

STARTUP_DESCRIPTOR = 9
"""bash reads its startup file from here, so that no file is added to what the build left."""

STARTUP = f"/dev/fd/{STARTUP_DESCRIPTOR}"

PLACES = ("PWD", "sourceRoot")
"""What a log tells of directories, among variables."""

SETUP = 'noDumpEnvVars=1; if [ -e "$stdenv/setup" ]; then source "$stdenv/setup"; fi; '
AFTER_SETUP = "unset noDumpEnvVars; trap - EXIT; set +eu; "
OWN_TRAP = (
    'case "$SHELLOPTS" in *posix*) ;; *) trap() { '
    'case " $* " in *" EXIT "* | *" 0 "*) ;; *) builtin trap "$@" ;; esac; } ;; esac; '
)
SETUP_ENDS = (
    "builtin trap 'echo \"the set-up of this build ends here, with status $?: "
    "what it would have set afterwards is missing\" >&2; __nbs_go' EXIT; "
)
MOST_SHOWN = 10
SHELLS = ("bash", "dash", "sh")
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._/?=@:")


class CommandLine(Value):
    """What to execute, with what, and the directories to try, first one first.

    `program` is executed, `argv[0]` if it is empty.
    """

    argv: tuple[str, ...]
    program: str = ""
    environment: tuple[tuple[str, str], ...]
    directories: tuple[str, ...]
    startup_file: str = ""


def shell_word(text: str) -> str:
    """`text` as one word of a POSIX shell."""
    if text and PLAIN.issuperset(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def command_line(kept: KeptDirectory, nix: NixFacts, request: Request, top: str) -> CommandLine:
    """From the first source of the environment that there is: env-vars, the derivation.

    Raises `EvidenceError`: `environment-unknown` where there is neither, `no-shell` for an
    interactive shell in a build that had none, `no-bash` where bash is asked for in one that had
    another; `no-phases` and `builder-unknown` where phases are asked for.
    """
    if request.phase_words is not None:
        return _phases(kept, nix, request, top)
    if kept.env_vars.state == "read" and kept.env_vars.shell:
        return _from_env_vars(kept, nix, request, top)
    if nix.environment is not None:
        return _from_derivation(kept, nix, request, top)
    raise EvidenceError(
        f"nothing tells the environment of `{kept.name_hint or kept.path}`",
        reason="environment-unknown",
        evidence=(f"env-vars {why_not(kept.env_vars)}", "its derivation was not found"),
        hint="`--derivation /nix/store/….drv` names the derivation that was built",
    )


def why_not(env_vars: EnvVars) -> str:
    """Why env-vars is not the source of the variables, as the words behind its name."""
    return "names no SHELL" if env_vars.state == "read" else f"is {env_vars.state}"


def require_startable(kept: KeptDirectory, nix: NixFacts, request: Request) -> None:
    """See that a program can be given the variables that it would start with.

    Raises `CommandError` (`environment-too-long`).
    """
    if not (kept.env_vars.state == "read" and kept.env_vars.shell):
        names = " ".join(f'"{name}"' for name, _ in nix.overlong)
        hint = f"`passAsFile = [ {names} ];` in the recipe gives the builder files in their place"
        overlong = nix.overlong
    elif request.command or not is_bash(kept.env_vars.shell):
        overlong = kept.env_vars.overlong
        names = " ".join(shell_word(name) for name, _ in overlong)
        script = f"export -n {names}; {' '.join(map(shell_word, request.command))}"
        line = f"echo {shell_word(script)} | nix-build-shell {shell_word(kept.outer)}"
        hint = f"`{line}` runs it in a shell that keeps them to itself"
    else:
        return
    if overlong:
        raise CommandError(
            "no program can be started with the variables of this build: they are too long",
            reason="environment-too-long",
            evidence=tuple(f"{name}: {size:,} bytes" for name, size in overlong[:MOST_SHOWN]),
            hint=hint,
            exit_code=126,
        )


def _from_env_vars(kept: KeptDirectory, nix: NixFacts, request: Request, top: str) -> CommandLine:
    """Bash sources the file itself: it alone knows its quoting for certain.

    The bash that stays does, where one does: nothing of it is then too long for execve(2).
    """
    shell = kept.env_vars.shell
    read = f"source {shell_word(top + '/env-vars')}"
    # env-vars leaves out names that a shell cannot have; the process had them all the same.
    variables = nix.environment.variables if nix.environment is not None else ()
    lost = tuple((n, v) for n, v in variables if not is_identifier(n))
    directories = _directories(kept, request, top)
    stays = is_bash(shell) and not request.command
    more = (("PWD", directories[0]), *_read_first(shell, request)) if stays else ()
    return CommandLine(
        argv=_interactive(shell, request)
        if stays
        else _run(shell, lambda last: f"{read}; {last}", request),
        environment=(*lost, *more),
        directories=directories,
        startup_file=_startup_file(kept, nix, request, shell, top, read if stays else ""),
    )


def _from_derivation(kept: KeptDirectory, nix: NixFacts, request: Request, top: str) -> CommandLine:
    """Nix's own variables, and what `$stdenv/setup` makes of them."""
    derivation = nix.derivation
    builder = derivation.builder if derivation is not None else ""
    variables = nix.environment.variables if nix.environment is not None else ()
    shell = builder if name_of(builder) in SHELLS else ""
    if derivation is not None and _reads_as_nixpkgs_does(derivation):
        structured = derivation.structured_attributes
        argv = _run(
            shell, lambda last: _with_setup(shell, structured=structured, last=last), request
        )
    elif request.command:
        argv = request.command
    elif shell:
        argv = _interactive(shell, request)
        variables = (*variables, *_read_first(shell, request))
    else:
        raise EvidenceError(
            f"the build of `{kept.name_hint}` had no shell",
            reason="no-shell",
            evidence=(f"its builder is {builder}",),
            hint="name a command that is inside, with its whole path",
        )
    return CommandLine(
        argv=argv,
        environment=variables,
        directories=_directories(kept, request, top),
        startup_file=_startup_file(kept, nix, request, shell, top),
    )


def _phases(kept: KeptDirectory, nix: NixFacts, request: Request, top: str) -> CommandLine:
    """The word `phase` in place of a shell. Where there is no bash, the builder by itself."""
    from sandbox.model import phases  # noqa: PLC0415  it imports this

    words = request.phase_words or ("--failing",)
    variables = nix.environment.variables if nix.environment is not None else ()
    shell = build_bash(kept, nix)
    if not shell or request.phases is None:
        program, *arguments = phases.without_bash(nix, words)
        return CommandLine(
            argv=(name_of(program), *arguments),
            program=program,
            environment=variables,
            directories=(top, "/"),
        )
    text = phases.definitions(request.phases, kept, nix, request, shell, top)
    return CommandLine(
        argv=(shell, "--noprofile", "--norc", STARTUP, *words),
        environment=tuple((n, v) for n, v in variables if not is_identifier(n)),
        directories=(top, "/"),
        startup_file=f'exec {STARTUP_DESCRIPTOR}<&-\n{text}__nbs_phase_leave "$@"\n',
    )


def build_bash(kept: KeptDirectory, nix: NixFacts) -> str:
    """The build's own bash; empty if it had none."""
    builder = nix.derivation.builder if nix.derivation is not None else ""
    candidates = (kept.env_vars.shell if kept.env_vars.state == "read" else "", builder)
    return next((path for path in candidates if is_bash(path)), "")


def is_bash(shell: str) -> bool:
    """Is bash what this path calls? By the name `sh` it may be any shell."""
    return name_of(shell) == "bash"


def name_of(program: str) -> str:
    """The last component of a path."""
    return program.rpartition("/")[2]


def build_words(path: str, store: str) -> str:
    """What names the build at `path` behind a verb, to be pasted; `store` is as for `--store`."""
    return " ".join(map(shell_word, (*(("--store", store) if store else ()), path)))


def names_stdenv(derivation: Derivation) -> bool:
    """Is `stdenv` among its attributes? Its builder begins with `$stdenv/setup` then."""
    text = derivation.get("__json")
    if text is None:
        return derivation.get("stdenv") is not None
    from sandbox.model import attributes  # noqa: PLC0415  json costs more than the rest together

    return "stdenv" in attributes.read(text)


def _reads_as_nixpkgs_does(derivation: Derivation) -> bool:
    """`.attrs.sh` and `$stdenv/setup` are for bash. Who has a stdenv means bash by `sh`, too."""
    if is_bash(derivation.builder):
        return derivation.structured_attributes or names_stdenv(derivation)
    return name_of(derivation.builder) == "sh" and names_stdenv(derivation)


def _with_setup(shell: str, *, structured: bool, last: str) -> str:
    """As nixpkgs' default builder begins; then `last`, without an env-vars or an EXIT trap left.

    A set-up that ends the shell, as it may have ended the build, leaves what it had set by then,
    and `last` comes all the same: the trap is for that, so the set-up gets none of its own. No
    other shell but bash reads that, nor does bash in POSIX mode.
    NIX_ATTRS_SH_FILE of an older Nix names a path outside, and the builder looks beside it.
    """
    attributes = (
        'for attributes in "${NIX_ATTRS_SH_FILE-}" "$NIX_BUILD_TOP/.attrs.sh"; do '
        'if [ -e "$attributes" ]; then source "$attributes"; break; fi; done; unset attributes; '
    )
    begin = attributes if structured else ""
    if not is_bash(shell):
        return f"{begin}{SETUP}{AFTER_SETUP}{last}"
    go = f'__nbs_go() {{ unset -f trap; {AFTER_SETUP}set -- "${{__nbs_words[@]}}"; {last}; }}; '
    return f'{begin}__nbs_words=("$@"); {OWN_TRAP}{go}{SETUP_ENDS}{SETUP}__nbs_go'


def _read_first(shell: str, request: Request) -> tuple[tuple[str, str], ...]:
    """What makes a bash that is no interactive one read the startup file."""
    wanted = request.script and not request.command and is_bash(shell)
    return (("BASH_ENV", STARTUP),) if wanted else ()


def _run(shell: str, script: Callable[[str], str], request: Request) -> tuple[str, ...]:
    """`script` makes a whole one of its last commands, which execute what was asked for."""
    command = request.command or _interactive(shell, request)
    last = "".join(f"export {name}={value}; " for name, value in _read_first(shell, request))
    if request.interactive and request.term:
        last += 'export TERM="$0"; exec "$@"'
        return (shell, "-c", script(last), request.term, *command)
    return (shell, "-c", script(last + 'exec "$@"'), "--", *command)


def _interactive(shell: str, request: Request) -> tuple[str, ...]:
    if request.shell_options:
        if not is_bash(shell):
            raise EvidenceError(
                f"the shell of this build is `{shell}`, and not bash",
                reason="no-bash",
                hint="`nbs shell` gives this one",
            )
        return (shell, *request.shell_options)
    if request.script:
        return (shell,)
    if is_bash(shell):
        return (shell, "--noprofile", "--rcfile", STARTUP, "-i")
    return (shell, "-i")


def _directories(kept: KeptDirectory, request: Request, top: str) -> tuple[str, ...]:
    """The directory in which the failing phase began, if it is still there, else the build's.

    Where env-vars does not say, it is the one that the log told last.
    """
    started = kept.env_vars.working_directory
    if not started.startswith("/"):
        told = [inside(top, value) for _, name, value in request.told if name in PLACES]
        started = next(filter(None, reversed(told)), "")
    return (*((started,) if started else ()), top, "/")


def inside(top: str, path: str) -> str:
    """A path that is meant from `top`, whole; empty if it could lead out of it.

    >>> inside("/build", "hello/src"), inside("/build", "/build/hello"), inside("/build", "../etc")
    ('/build/hello/src', '/build/hello', '')
    """
    whole = path if path.startswith("/") else f"{top}/{path}"
    parts = whole.split("/")
    stays = whole.isprintable() and ".." not in parts and f"{whole}/".startswith(f"{top}/")
    return "/".join(part for part in parts if part != ".") if stays else ""


def _startup_file(
    kept: KeptDirectory, nix: NixFacts, request: Request, shell: str, top: str, read: str = ""
) -> str:
    """What `read` brings, the word `phase`, the prompt and the history of an interactive shell."""
    if request.command:
        return ""
    definitions = ""
    if request.phases is not None and is_bash(shell):
        from sandbox.model import phases  # noqa: PLC0415  it imports this

        definitions = phases.definitions(request.phases, kept, nix, request, shell, top)
    variables = _reading(read, request) if read else ""
    if request.shell_options:
        return variables + definitions
    closing = f"exec {STARTUP_DESCRIPTOR}<&-\n"
    if request.script:
        return f"{closing}unset -v BASH_ENV\n{variables}{definitions}"
    name = kept.name_hint or kept.env_vars.name or name_of(nix.derivation_path)
    label = shell_word(" ".join(filter(None, (_printable(name), _printable(request.phase)))))
    return (
        f"{closing}{variables}"
        f"PS1='\\[\\e[1;34m\\]['{label}']\\[\\e[0m\\] \\w\\$ '\n"
        "HISTFILE=/tmp/.bash_history HISTCONTROL=ignoreboth\n"
        "unset MAILCHECK PROMPT_COMMAND\n"
        f"{definitions}"
    ) + "".join(f"history -s -- {shell_word(line)}\n" for line in request.history)


def _reading(read: str, request: Request) -> str:
    """Lines that read the variables, but for the directory: where the phase began may be gone."""
    term = f"export TERM={shell_word(request.term)}\n" if request.interactive else ""
    return f'set -- "$PWD"\n{read}\nPWD=$1\nset --\n{term if request.term else ""}'


def _printable(text: str) -> str:
    """Only what cannot mean anything to a prompt or a terminal: the text is not ours."""
    return "".join(c for c in text if c in PLAIN)[:80]


def is_identifier(name: str) -> bool:
    """Can a POSIX shell have a variable of this name?"""
    return name.isascii() and name.isidentifier()
