"""What must hold for any bytes, one function for each parser of hostile text.

A target raises only if the parser is wrong: AssertionError, or whatever escaped from it.
"""

from __future__ import annotations

import os

from nbs_kernel.bash import answers, outcomes
from nbs_kernel.bash.events import Outcome
from nbs_kernel.bash.records import FIELD_LIMIT, FIELDS_LIMIT, Record, Records
from sandbox.errors import DerivationSyntaxError, EvidenceError, UsageError
from sandbox.model import (
    aterm,
    environment,
    envvars,
    logcuts,
    logs,
    nixcommand,
    nixevents,
    nixmessages,
    progress,
    storepath,
)

DRV = "/nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-a-1.drv"
STORE = "/nix/store"


def derivation(data: bytes) -> None:
    """One error or a derivation, which is the same after it was written and read again."""
    try:
        read = aterm.parse(data)
    except DerivationSyntaxError as error:
        if not 0 <= error.offset <= len(data):
            raise AssertionError(f"offset {error.offset} is outside of the text") from error
        return
    written = aterm.unparse(read)
    assert aterm.parse(written) == read
    assert aterm.unparse(aterm.parse(written)) == written
    _environment(read)


def _environment(read: aterm.Derivation) -> None:
    """Files lie in the build directory, whatever the recipe calls them."""
    nix = environment.NixBehaviour()
    try:
        made = environment.build_environment(
            read, derivation_path=DRV, nix=nix, closure=lambda _: ()
        )
    except EvidenceError:
        return
    for name, _ in made.files:
        assert "/" not in name
        assert name not in {"", ".", ".."}


def attributes(data: bytes) -> None:
    """The same for the JSON of structured attributes."""
    text = data.decode("utf-8", "surrogateescape")
    out = aterm.Output(name="out", path=f"{STORE}/x")
    read = aterm.Derivation(outputs=(out,), system="s", builder="/b", env=(("__json", text),))
    _environment(read)


def variables(data: bytes) -> None:
    """Nothing is raised, every value can be given to a program, and `select` agrees."""
    found = envvars.parse(data)
    for variable in found:
        assert variable.name.isidentifier()
        assert "\0" not in os.fsdecode(os.fsencode(variable.value or ""))
    last = {v.name: v.value for v in found if v.value is not None}
    assert envvars.select(data, *last) == last


def references(data: bytes) -> None:
    """Whatever is found is a store path and stands in the text."""
    for path in storepath.references(data, STORE):
        assert storepath.is_store_path(path, STORE)
        assert path.encode() in data


def records(data: bytes) -> None:
    """Any split gives the same records, in bounds, and each is an outcome, an answer, or neither."""
    told = _records(data, len(data) or 1)
    for size in (1, 7):
        assert _records(data, size) == told
    texts = outcomes.Texts()
    for record in told:
        assert len(record.texts) <= FIELDS_LIMIT
        assert all(len(field) <= FIELD_LIMIT for field in record.texts)
        done = outcomes.read(record.texts, record.number, 3, texts)
        assert done is None or isinstance(done.outcome, Outcome)
        for question in (("names",), ("environment",), ("describe", "v")):
            answer = answers.read(question, record.texts)
            assert answer is None or isinstance(answer, tuple)


def _records(data: bytes, size: int) -> list[Record]:
    reader = Records("0123456789abcdef")
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return [record for piece in pieces for record in reader.feed(piece)]


def messages(data: bytes) -> None:
    """However the lines come, the same is heard; what is told of is a path, in bounds, and once."""
    text = data.decode("utf-8", "replace")
    whole, by_line = nixmessages.Listener(), nixmessages.Listener()
    whole.hear(text)
    for line in text.split("\n"):
        by_line.hear(line)
    report = whole.report()
    assert by_line.report() == report
    _report(report)


def _report(report: nixmessages.Report) -> None:
    named = [failure.derivation for failure in report.failures if failure.derivation]
    assert len(set(named)) == len(named)
    assert not {*named} & {*report.dependents}
    assert all(path.startswith("/") for path in (*report.kept, *report.dependents))
    assert len(report.failures) <= nixmessages.MOST_HEARD
    assert len(report.kept) <= nixmessages.MOST_HEARD
    assert {path for path, _ in report.builds} <= {*report.kept}
    for failure in report.failures:
        assert failure.code is None or failure.code >= 0


def events(data: bytes) -> None:
    """Each line is an event or none, and what is shown of it does nothing to a terminal but colour."""
    listener = nixmessages.Listener()
    shown = progress.Progress(colours=False)
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n")):
        event = nixevents.parse_event(line)
        if event is None:
            assert shown.plain(line).isprintable() or "\t" in line
            continue
        if event.kind == "message":
            listener.hear(event.text)
        elif event.kind == "build":
            listener.builds(event.derivation, event.machine, event.id)
        elif event.kind == "stop":
            listener.stops(event.id)
        for text in (*shown.take(event, float(number)), shown.status(float(number))):
            assert text.replace("\t", " ").isprintable(), text
    _report(listener.report())


def log(data: bytes) -> None:
    """The parts of a log are its lines, each of a phase of it, and a file's name is as it stands there."""
    read = logs.parse_log(data.decode("utf-8", "replace"))
    (whole,) = logcuts.pieces(read)
    assert whole.lines == read.whole
    assert len(read.whole) == len(read.lines)
    for phase in {phase.name for phase in read.phases}:
        for piece in logcuts.pieces(read, phase) if phase else ():
            start = piece.first - 1
            assert read.whole[start : start + len(piece.lines)] == piece.lines
        error = logcuts.error_in(read, phase)
        assert error is None or 0 < error.line <= len(read.lines)
    for name in logcuts.named_files(read.lines):
        assert any(name in line for line in read.lines)


def command(data: bytes) -> None:
    """A build that keeps what fails, with all its words in their order, or one error."""
    words = tuple(data.decode("utf-8", "surrogateescape").split("\n"))
    try:
        asked = nixcommand.nix_command(words, "/s")
    except UsageError:
        return
    for argv in (asked.argv, asked.as_events().argv, asked.here_alone()):
        assert argv[0].rpartition("/")[2] in nixcommand.PROGRAMS
        rest = iter(argv)
        own = words if words[0].rpartition("/")[2] in nixcommand.PROGRAMS else ("nix-build", *words)
        assert all(word in rest for word in own)
        assert any(word in nixcommand.KEEPS for word in argv)
    assert asked.store


TARGETS = {
    "messages": messages,
    "events": events,
    "log": log,
    "command": command,
    "derivation": derivation,
    "attributes": attributes,
    "variables": variables,
    "references": references,
    "records": records,
}
