"""`nbs kernel`: what it writes for a Jupyter, what it lists, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli import kernel, nbs
from sandbox.errors import Error
from tests.test_completion import SCRIPTS, bash, environment, fish, zsh

__all__ = ["environment"]
pytest.importorskip("jupyter_client")

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL_OPTIONS = {
    "--build",
    "--display-name",
    "--help",
    "--name",
    "--prefix",
    "--store",
    "--sys-prefix",
    "--user",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user of whom Jupyter knows nothing yet; `tmp_path/data` is where theirs are."""
    for name in ("JUPYTER_PATH", "JUPYTER_PREFER_ENV_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    # What this environment has installed is not the user's.
    monkeypatch.setattr("jupyter_client.kernelspec.jupyter_path", lambda *_: [str(kernels)])
    kernels = tmp_path / "data/kernels"
    return kernels


@pytest.fixture
def kept(tmp_path):
    """A kept directory whose build was called Hello World."""
    path = tmp_path / "nix-build-Hello World-1.0.drv-0"
    path.mkdir()
    (path / "env-vars").write_text('declare -x name="Hello World-1.0"\n')
    return path


@pytest.fixture
def usual_umask():
    """What is made can be read by others, as by default."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def written(place: Path) -> dict:
    return json.loads((place / "kernel.json").read_text())


def reason_of(*argv: str) -> str:
    with pytest.raises(Error) as caught:
        kernel.command(list(argv))
    return caught.value.reason


def test_an_entry_of_the_user_starts_this_python(home):
    assert kernel.command(["install"]) == 0
    assert written(home / "nbs")["argv"] == [
        sys.executable,
        "-P",
        "-m",
        "nbs_kernel",
        "-f",
        "{connection_file}",
    ]


def test_an_entry_says_the_same_as_the_one_that_pip_installs_but_for_the_python(home):
    kernel.command(["install"])
    ours, theirs = written(home / "nbs"), written(ROOT / "kernelspec")
    assert theirs["argv"][0] == "python"
    assert {**ours, "argv": ours["argv"][1:]} == {**theirs, "argv": theirs["argv"][1:]}


def test_an_entry_has_the_logos(home):
    kernel.command(["install"])
    logos = {path.name for path in (home / "nbs").glob("logo-*")}
    assert logos == {"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}


def test_an_entry_can_be_installed_for_another_jupyter(home, tmp_path):
    kernel.command(["install", "--prefix", str(tmp_path / "other")])
    assert (tmp_path / "other/share/jupyter/kernels/nbs/kernel.json").exists()
    assert not home.exists()


def test_an_entry_for_everybody_can_be_read_by_everybody(home, tmp_path, usual_umask):
    kernel.command(["install", "--prefix", str(tmp_path / "other")])
    place = tmp_path / "other/share/jupyter/kernels/nbs"
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in place.iterdir())


def test_an_entry_for_a_build_is_called_after_it_and_names_its_directory(home, kept, capsys):
    kernel.command(["install", "--build", str(kept)])
    (place,) = home.iterdir()
    assert re.fullmatch(r"nbs-[a-z0-9._-]+", place.name)
    assert written(place)["env"] == {"NBS_BUILD": str(kept)}
    assert "Hello World" in written(place)["display_name"]
    assert place.name in capsys.readouterr().out


def test_an_entry_remembers_the_store_of_its_builds(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kernel.command(["install", "--store", "mine"])
    assert written(home / "nbs")["argv"][-2:] == ["--store", str(tmp_path / "mine")]


def test_a_relative_path_of_a_build_is_made_absolute(home, kept, monkeypatch):
    monkeypatch.chdir(kept.parent)
    kernel.command(["install", "--build", f"./{kept.name}"])
    (place,) = home.iterdir()
    assert written(place)["env"] == {"NBS_BUILD": str(kept)}


def test_jupyter_puts_no_variable_of_its_own_into_the_path_of_a_build(home, kept, capsys):
    odd = kept.rename(kept.parent / "nix-build-$HOME-1.drv-0")
    kernel.command(["install", "--build", str(odd), "--name", "odd"])
    from string import Template

    given = written(home / "odd")["env"]["NBS_BUILD"]
    assert Template(given).safe_substitute(HOME="/home/me") == str(odd)
    capsys.readouterr()
    kernel.command(["list"])
    assert str(odd) in capsys.readouterr().out


def test_an_entry_can_be_called_as_one_likes(home):
    kernel.command(["install", "--name", "mine", "--display-name", "My build"])
    assert written(home / "mine")["display_name"] == "My build"


def test_installing_again_replaces_the_entry(home):
    kernel.command(["install"])
    (home / "nbs/left-over").touch()
    kernel.command(["install", "--display-name", "Second"])
    assert written(home / "nbs")["display_name"] == "Second"
    assert not (home / "nbs/left-over").exists()


def test_a_name_that_jupyter_does_not_allow_is_refused_with_one_that_it_does(home):
    with pytest.raises(Error) as caught:
        kernel.command(["install", "--name", "My Build"])
    assert "`--name my-build`" in caught.value.hint
    assert not home.exists()


def test_the_entry_of_another_kernel_is_left_alone(home):
    other = home / "octave"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(
        json.dumps({"argv": ["octave"], "display_name": "Octave", "language": "octave"})
    )
    assert reason_of("install", "--name", "octave") == "kernel-name-taken"
    assert reason_of("uninstall", "octave") == "kernel-unknown"
    assert written(other)["argv"] == ["octave"]


def test_the_entry_of_another_kernel_below_a_prefix_is_left_alone(home, tmp_path):
    other = tmp_path / "prefix/share/jupyter/kernels/ir"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(json.dumps({"argv": ["R"], "display_name": "R"}))
    (other / "kernel.js").touch()
    words = ("install", "--prefix", str(tmp_path / "prefix"), "--name")
    assert reason_of(*words, "ir") == "kernel-name-taken"
    assert sorted(os.listdir(other)) == ["kernel.js", "kernel.json"]


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_means_a_directory_of_jupyter_s_replaces_nothing(home, name):
    other = home / "octave"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(json.dumps({"argv": ["octave"], "display_name": "Octave"}))
    assert reason_of("install", "--name", name) == "option-value"
    assert written(other)["argv"] == ["octave"]


def test_a_build_that_nobody_knows_gets_no_entry(home, tmp_path, monkeypatch):
    monkeypatch.setenv("NIX_STORE_DIR", str(tmp_path / "store"))
    assert reason_of("install", "--build", "no-such-build") in ("build-unknown", "nothing-kept")
    assert not home.exists()


def test_a_directory_that_cannot_be_written_is_named(home, tmp_path):
    (tmp_path / "file").touch()
    assert reason_of("install", "--prefix", f"{tmp_path}/file") == "kernelspec-refused"


def test_two_places_exclude_each_other(home):
    assert reason_of("install", "--user", "--sys-prefix") == "option-value"


def test_what_was_installed_is_listed_with_its_build(home, kept, capsys):
    kernel.command(["install"])
    kernel.command(["install", "--build", str(kept), "--name", "other"])
    capsys.readouterr()
    kernel.command(["list"])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "NAME"
    assert first.startswith("nbs ")
    assert second.startswith("other ")
    assert str(kept) in second
    kernel.command(["list", "--names"])
    assert capsys.readouterr().out == "nbs\nother\n"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"argv": 7}', '{"argv": []}', "\x00"])
def test_a_broken_entry_of_whoever_is_not_listed(home, text, capsys):
    (home / "broken").mkdir(parents=True)
    (home / "broken/kernel.json").write_text(text)
    kernel.command(["list"])
    assert capsys.readouterr().out == ""


def test_nothing_installed_is_said_with_the_way_on(home, capsys):
    assert kernel.command(["list"]) == 0
    assert "`nbs kernel install`" in capsys.readouterr().err


def test_an_entry_can_be_removed(home, capsys):
    kernel.command(["install"])
    assert kernel.command(["uninstall"]) == 0
    assert not (home / "nbs").exists()
    assert f"removed nbs from {home}/nbs\n" in capsys.readouterr().out


def test_of_several_names_none_is_removed_if_one_is_unknown(home):
    kernel.command(["install"])
    assert reason_of("uninstall", "nbs", "nonsense") == "kernel-unknown"
    assert (home / "nbs").exists()


def test_an_entry_of_the_user_s_is_listed_beside_one_of_the_environment_s_by_that_name(
    home, tmp_path, monkeypatch, capsys
):
    kernel.command(["install"])
    kernel.command(["install", "--prefix", str(tmp_path / "environment")])
    folders = [str(tmp_path / "environment/share/jupyter/kernels"), str(home)]
    monkeypatch.setattr("jupyter_client.kernelspec.jupyter_path", lambda *_: [*folders])
    capsys.readouterr()
    kernel.command(["list"])
    places = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert places == [f"{folder}/nbs" for folder in folders]
    kernel.command(["list", "--names"])
    assert capsys.readouterr().out == "nbs\n"
    kernel.command(["uninstall"])
    assert [(home / "nbs").exists(), (tmp_path / folders[0] / "nbs").exists()] == [True, False]


@pytest.mark.parametrize("action", ["install", "uninstall", "list"])
def test_without_jupyter_the_error_tells_how_to_get_it(action, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Error) as caught:
        kernel.command([action])
    assert caught.value.reason == "jupyter-missing"
    assert caught.value.hint.endswith(" jupyter_client pyzmq`")


def test_an_action_that_there_is_not_is_wrong_usage():
    assert reason_of("instal") == "verb-unknown"


def test_nbs_imports_nothing_of_jupyter_before_it_is_needed():
    code = "import sys; from sandbox.cli import nbs, kernel; kernel.command(['--help']);"
    code += "print({'jupyter_client', 'json', 'zmq'} & set(sys.modules))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def options_of_install() -> set[str]:
    command = [sys.executable, "-m", "sandbox.cli.nbs", "kernel", "install", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))


def test_help_reference_and_manual_have_the_same_options():
    reference = (ROOT / "docs/reference/commands.md").read_text()
    section = reference.partition("\n## nbs kernel\n")[2].partition("\n## ")[0]
    manual = (ROOT / "docs/man/nbs.1").read_text()
    assert options_of_install() == INSTALL_OPTIONS
    for option in INSTALL_OPTIONS - {"--help"}:
        assert f"`{option}" in section
        assert f"-{option.removeprefix('--')}" in manual
    assert "kernel" in nbs.VERBS


@pytest.mark.parametrize("offer", [bash, fish])
def test_completion_knows_what_the_verb_can_do(offer, environment):
    assert sorted(offer(("nbs", "kernel", ""), environment)) == ["install", "list", "uninstall"]
    assert set(offer(("nbs", "kernel", "install", "--"), environment)) == INSTALL_OPTIONS
    assert set(offer(("nbs", "kernel", "list", "--"), environment)) == {"--help", "--names"}
    assert set(offer(("nbs", "kernel", "uninstall", "--"), environment)) == {"--help"}


@pytest.mark.parametrize("offer", [bash, fish])
def test_completion_offers_builds_and_kernels(offer, environment):
    builds = offer(("nbs", "kernel", "install", "--build", "h"), environment)
    assert [word.replace("\\", "") for word in builds] == ["hello-1.0", "help wanted"]
    removable = offer(("nbs", "kernel", "uninstall", "w"), environment)
    assert removable == ["world-2.0"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("nbs", "kernel", "ins"), "nbs kernel install "),
        (("nbs", "kernel", "install", "--sys"), "nbs kernel install --sys-prefix "),
        (("nbs", "kernel", "install", "--build", "wor"), "nbs kernel install --build world-2.0 "),
        (("nbs", "kernel", "uninstall", "wor"), "nbs kernel uninstall world-2.0 "),
    ],
)
def test_zsh_completes_it_too(typed, completed, environment):
    assert SCRIPTS.is_dir()
    assert zsh(typed, environment) == completed
