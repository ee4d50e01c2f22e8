"""Which Nix does what: versions are read, compared within their line, and fitted to layouts."""

from __future__ import annotations

import pytest

from sandbox.errors import UsageError
from sandbox.model.profile import (
    LAYOUT_DEFAULTS,
    Profile,
    fits_layout,
    parse_profile,
    parse_version,
)


def nix(*version):
    return Profile(version=(*version, 0)[:3])


def lix(*version):
    return Profile(flavour="lix", version=(*version, 0)[:3])


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nix (Nix) 2.18.1", (2, 18, 1)),
        ("nix (Nix) 2.8.0", (2, 8, 0)),
        ("nix-store (Nix) 2.24.0pre20240723_abc", (2, 24, 0)),
        ("nix (Lix, like Nix) 2.94.0-dev", (2, 94, 0)),
        ("nix-2.8", (2, 8, 0)),
        ("2.31.2", (2, 31, 2)),
        ("nix", None),
        ("7", None),
        ("", None),
        ("x.y", None),
    ],
)
def test_the_version_is_the_first_dotted_number(text, version):
    assert parse_version(text) == version


def test_a_profile_is_asked_for_by_flavour_and_version():
    assert parse_profile("2.18.1") == nix(2, 18, 1)
    assert parse_profile("nix-2.8") == nix(2, 8)
    assert parse_profile("Lix-2.94") == lix(2, 94)


def test_a_name_without_a_version_is_refused_with_what_to_write():
    with pytest.raises(UsageError) as caught:
        parse_profile("newest")
    assert (caught.value.reason, caught.value.exit_code) == ("profile-unknown", 2)
    assert "--profile 2.18.1" in caught.value.hint


@pytest.mark.parametrize("profile", [nix(2, 18, 1), nix(2, 8), lix(2, 94), lix(2, 93, 3)])
def test_a_profile_s_text_names_it_again(profile):
    assert parse_profile(str(profile)) == profile


@pytest.mark.parametrize(
    ("property_", "has", "lacks"),
    [
        ("filters_fchmodat2", [nix(2, 18, 3), nix(2, 22), lix(2, 90)], [nix(2, 18, 2), nix(2, 19, 9), nix(2, 21, 9)]),
        ("filters_getxattr", [nix(2, 24), nix(2, 35)], [nix(2, 23, 9), lix(2, 94)]),
        ("filters_listxattr", [nix(2, 35)], [nix(2, 34, 9), lix(2, 95)]),
        ("allows_known_calls_only", [lix(2, 91)], [lix(2, 90), nix(2, 91)]),
        ("scopes_abstract_sockets", [nix(2, 31, 4), nix(2, 34, 5), nix(2, 36)], [nix(2, 31, 3), nix(2, 32, 6), nix(2, 34, 4), lix(2, 94)]),
        ("binds_certificates", [nix(2, 16), lix(2, 94)], [nix(2, 15, 9), lix(2, 93)]),
        ("raises_open_files", [nix(2, 34)], [nix(2, 33, 9), lix(2, 94)]),
        ("cgroup_namespace", [lix(2, 93)], [lix(2, 92), nix(2, 93)]),
    ],
)  # fmt: skip
def test_a_fix_holds_from_the_first_release_of_each_line(property_, has, lacks):
    assert [str(p) for p in has if not getattr(p, property_)] == []
    assert [str(p) for p in lacks if getattr(p, property_)] == []


def test_etc_is_closed_since_the_release_that_closed_it():
    assert [p.etc_mode for p in (nix(2, 12), nix(2, 12, 1), nix(2, 13, 2), nix(2, 14))] == [
        0o755,
        0o555,
        0o755,
        0o555,
    ]


@pytest.mark.parametrize("layout", LAYOUT_DEFAULTS)
def test_the_nix_that_stands_for_a_layout_makes_it(layout):
    assert fits_layout(LAYOUT_DEFAULTS[layout], layout)


@pytest.mark.parametrize(
    ("profile", "layouts"),
    [
        (nix(2, 8), {"flat"}),
        (nix(2, 18, 3), {"flat"}),
        (nix(2, 18, 4), {"build"}),
        (nix(2, 24), {"build"}),
        (nix(2, 30), {"named-pid-build"}),
        (nix(2, 30, 4), {"pid-build"}),
        (nix(2, 31, 1), {"named-pid-build"}),
        (nix(2, 31, 2), {"pid-build"}),
        (nix(2, 34, 8), {"pid-build"}),
        (lix(2, 90), {"flat"}),
        (lix(2, 94), {"flat", "b"}),
    ],
)
def test_each_release_makes_the_layouts_that_it_makes(profile, layouts):
    assert {layout for layout in LAYOUT_DEFAULTS if fits_layout(profile, layout)} == layouts
