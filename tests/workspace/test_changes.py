"""What differs between trees: a real overlay shows what a view of its layers shows."""

from __future__ import annotations

import ctypes
import gc
import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.workspace import changes
from sandbox.workspace.changes import compare
from sandbox.workspace.layers import DEEPEST, Layer, View, find, names
from sandbox.workspace.remove import remove_tree
from tests.workspace.trees import enter_mount_namespace, in_child, make_odd_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def closed_layers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test opens is closed with it: others count the descriptors that are left."""
    made: list[Layer] = []
    open_layer = Layer.at

    def at(path: str) -> Layer:
        made.append(open_layer(path))
        return made[-1]

    monkeypatch.setattr(Layer, "at", at)
    yield
    for layer in made:
        layer.close()


def view(*paths: Path) -> View:
    return View(*(Layer.at(str(path)) for path in paths))


def found(old: View, new: View, *paths: str) -> dict[str, str]:
    return {change.path: change.what for change in compare(old, new, paths).changes}


def make(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    root.mkdir(exist_ok=True)
    return root


def mount_overlay(lower: Path, upper: Path, work: Path, merged: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    if libc.mount(b"overlay", os.fsencode(merged), b"overlay", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")


def shown(tree: View) -> dict[str, tuple[object, ...]]:
    """All that a view shows, path by path."""
    seen: dict[str, tuple[object, ...]] = {}
    pending = [((), tree.layers)]
    while pending:
        parts, layers = pending.pop()
        for name in names(layers, parts):
            node = find(layers, parts, name)
            if node is None:
                continue
            path = (*parts, name)
            status = node.status
            seen["/".join(path)] = (status.st_mode, not node.is_directory and status.st_size)
            if node.is_directory:
                pending.append((path, node.layers))
    return seen


NAMES = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a"]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove", "directory", "chmod", "link", "rename", "touch"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
    ),
    max_size=14,
)


def act(root: Path, actions: list[tuple[str, str, str]]) -> None:
    """What a person may do inside, as far as it can be done."""
    for action, name, other in actions:
        path, target = root / name, root / other
        try:
            if action == "write":
                path.write_text(other)
            elif action == "remove" and path.is_dir() and not path.is_symlink():
                remove_tree(str(path))
            elif action == "remove":
                path.unlink()
            elif action == "directory":
                path.mkdir()
            elif action == "chmod":
                path.chmod(0o700 if path.is_dir() else 0o600)
            elif action == "link":
                path.symlink_to(other)
            elif action == "touch":
                os.utime(path)
            else:
                path.rename(target)
        except OSError:
            continue


@pytest.mark.namespaces
@given(before=ACTIONS, during=ACTIONS)
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_view_shows_what_the_overlay_of_the_kernel_shows(place, before, during):
    remove_tree(str(place / "case"))
    top = place / "case"
    for name in ("lower", "upper", "work", "merged", "copy"):
        (top / name).mkdir(parents=True)
    act(top / "lower", before)
    act(top / "copy", before)

    def inside() -> None:
        enter_mount_namespace()
        mount_overlay(top / "lower", top / "upper", top / "work", top / "merged")
        act(top / "merged", during)
        lower = Layer.at(str(top / "lower"))
        ours = View(Layer.at(str(top / "upper")), lower)
        theirs = view(top / "merged")
        assert shown(ours) == shown(theirs)
        assert compare(ours, theirs).changes == ()
        whole = compare(view(top / "copy"), theirs).changes
        assert compare(View(lower), ours).changes == whole

    in_child(inside)


def test_what_was_added_removed_and_changed_is_told(place):
    old = make(place / "old", same="1", gone="1", text="one", d__e__f="1")
    new = make(place / "new", same="1", text="two", more__x="1", d__e__f="1")
    (new / "d/e/f").chmod(0o755)
    assert found(view(old), view(new)) == {
        "gone": "removed",
        "text": "changed",
        "more": "added",
        "more/x": "added",
        "d/e/f": "changed",
    }
    (mode,) = compare(view(old), view(new), ("d/e",)).changes
    assert (mode.content, mode.old.mode, mode.new.mode) == (False, 0o644, 0o755)


def test_times_and_owners_are_no_difference(place):
    old, new = make(place / "old", text="one"), make(place / "new", text="one")
    os.utime(new / "text", (1, 1))
    assert found(view(old), view(new)) == {}


def test_a_kind_that_changed_takes_all_below_with_it(place):
    old = make(place / "old", d__e__f="1", file="x")
    new = make(place / "new", d="now a file", file__inner="x")
    assert found(view(old), view(new)) == {
        "d": "changed",
        "d/e": "removed",
        "d/e/f": "removed",
        "file": "changed",
        "file/inner": "added",
    }


def test_only_what_was_written_is_looked_at(place, monkeypatch):
    kept = make(place / "kept", **{f"d{n}__f": "1" for n in range(20)})
    upper = make(place / "upper", d3__f="2")
    looked = []
    lower = Layer.at(str(kept))
    monkeypatch.setattr(changes.layers, "names", lambda on, at: looked.append(at) or names(on, at))
    assert found(View(lower), View(Layer.at(str(upper)), lower)) == {"d3/f": "changed"}
    assert looked == [(), ("d3",)]


def test_an_opaque_directory_hides_what_is_below(place):
    kept = make(place / "kept", d__old="1")
    upper = make(place / "upper", d__new="1")
    os.setxattr(upper / "d", "user.overlay.opaque", b"y")
    lower = Layer.at(str(kept))
    assert found(View(lower), View(Layer.at(str(upper)), lower)) == {
        "d/old": "removed",
        "d/new": "added",
    }


def test_only_the_paths_that_were_asked_for_are_compared(place):
    old = make(place / "old", a__x="1", b__x="1")
    new = make(place / "new", a__x="2", b__x="2")
    assert found(view(old), view(new), "a") == {"a/x": "changed"}
    assert found(view(old), view(new), "./b//x", "nothing") == {"b/x": "changed"}
    assert found(view(old), view(new), "../new") == {}


def test_large_holes_are_not_read(place):
    old, new = make(place / "old"), make(place / "new")
    for root in (old, new):
        with (root / "hole").open("wb") as file:
            file.truncate(1 << 42)
    assert found(view(old), view(new)) == {}
    with (new / "hole").open("r+b") as file:
        file.seek(1 << 41)
        file.write(b"x")
    assert found(view(old), view(new)) == {"hole": "changed"}


def test_nothing_is_followed_and_nothing_waited_for(place):
    old, new = make(place / "old"), make(place / "new")
    for root in (old, new):
        os.mkfifo(root / "fifo")
        (root / "out").symlink_to("/")
    os.unlink(new / "fifo")
    os.mkfifo(new / "fifo", 0o600)
    (new / "out").unlink()
    (new / "out").symlink_to("/etc")
    assert found(view(old), view(new)) == {"fifo": "changed", "out": "changed"}
    assert found(view(old), view(new), "out/passwd") == {}


def test_an_odd_tree_is_the_same_as_itself(place):
    make_odd_tree(place / "one", secret=os.getuid() == 0)
    make_odd_tree(place / "two", secret=os.getuid() == 0)
    (place / "two/large").write_bytes((place / "one/large").read_bytes())
    assert found(view(place / "one"), view(place / "two")) == {}


def test_a_tree_deeper_than_a_path_is_told_and_does_no_harm(place):
    for name in ("old", "new"):
        current = os.open(place, os.O_RDONLY)
        os.mkdir(name, dir_fd=current)
        for step in [name, *["d"] * (DEEPEST + 10)]:
            if step == "d":
                os.mkdir("d", dir_fd=current)
            deeper = os.open(step, os.O_RDONLY, dir_fd=current)
            os.close(current)
            current = deeper
        os.close(os.open(f"only-{name}", os.O_CREAT | os.O_WRONLY, dir_fd=current))
        os.close(current)
    compared = compare(view(place / "old"), view(place / "new"))
    assert compared.changes == ()
    assert compared.unread_count == 1
    assert compared.unread[0][0].count("d") == DEEPEST + 1


def test_what_may_not_be_read_is_told_and_is_no_change(place, caller, run_as_caller):
    old = make(place / "old", closed="1", d__f="1", other="1")
    new = make(place / "new", closed="2", d__f="2", other="2")
    for root in (old, new):
        (root / "closed").chmod(0)
        (root / "d").chmod(0)
        for path in (root, *root.rglob("*")):
            os.chown(path, caller, -1)

    def inside() -> None:
        compared = compare(view(old), view(new))
        paths = {change.path for change in compared.changes}
        if caller == 0:
            assert paths == {"closed", "d/f", "other"}
            assert compared.unread == ()
        else:
            assert paths == {"other"}
            assert dict(compared.unread).keys() == {"closed", "d"}
            assert compared.unread_count == 2

    run_as_caller(inside)


def test_a_file_that_a_copy_left_out_since_it_could_not_be_read_was_not_removed(
    place, caller, run_as_caller
):
    old, new = make(place / "old", closed="1", open="1"), make(place / "new")
    (old / "closed").chmod(0)
    for path in (old, *old.rglob("*")):
        os.chown(path, caller, -1)
    os.chown(new, caller, -1)

    def inside() -> None:
        removed = {"open": "removed"} | ({"closed": "removed"} if caller == 0 else {})
        assert found(view(old), view(new)) == removed

    run_as_caller(inside)


def test_descriptors_are_few_and_all_are_closed(place):
    def inside() -> None:
        gc.collect()
        before = os.listdir("/proc/self/fd")
        old, new = Layer.at(str(place / "old")), Layer.at(str(place / "new"))
        assert compare(View(old), View(new)).changes
        assert len(os.listdir("/proc/self/fd")) - len(before) < 60
        old.close()
        new.close()
        assert os.listdir("/proc/self/fd") == before

    make(place / "old")
    path = "new"
    for _ in range(60):
        path += "/d"
    (place / path).mkdir(parents=True)
    in_child(inside)


def test_a_file_may_vanish_between_two_looks(place, monkeypatch):
    old, new = make(place / "old", text="one"), make(place / "new", text="two")
    real = changes.layers.open_file

    def gone(node, parts):
        (new / "text").unlink(missing_ok=True)
        return real(node, parts)

    monkeypatch.setattr(changes.layers, "open_file", gone)
    compared = compare(view(old), view(new))
    assert (compared.changes, compared.unread_count) == ((), 1)


def test_whiteouts_are_seen_by_their_number(place, as_root):
    upper, kept = make(place / "upper"), make(place / "kept", text="x")
    os.mknod(upper / "text", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    lower = Layer.at(str(kept))
    assert found(View(lower), View(Layer.at(str(upper)), lower)) == {"text": "removed"}
    assert found(View(), view(upper)) == {}
