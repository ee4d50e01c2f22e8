"""Files of a hostile build, shown in a notebook."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import struct
import zlib
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbs_kernel import display
from nbs_kernel.magics.errors import MagicError
from nbs_kernel.magics.markdown import to_html
from tests.kernel.magics.kernels import Noted
from tests.kernel.typed.shells import Told

HARMLESS = {
    "div",
    "table",
    "thead",
    "tr",
    "th",
    "td",
    "code",
    "pre",
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
} | {
    "ul",
    "ol",
    "li",
    "blockquote",
    "em",
    "strong",
    "hr",
}
HOSTILE_TEXT = "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) $\\href{javascript:x}{y}$ \x1b[2J"


class Elements(HTMLParser):
    """The names of elements and of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\xff\0\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def shown(tmp_path, name: str, data: bytes) -> dict[str, object]:
    (tmp_path / name).write_bytes(data)
    return display.load(str(tmp_path / name), name)


def reason(tmp_path, name: str, data: bytes | None = None) -> str:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(MagicError) as caught:
        display.load(str(tmp_path / name), name)
    return caught.value.reason


def test_a_png_is_shown_with_its_size(tmp_path) -> None:
    data = shown(tmp_path, "a.png", png(3, 2))
    assert base64.b64decode(str(data["image/png"])) == png(3, 2)
    assert "3 x 2" in str(data["text/plain"])


def test_svg_is_an_image_in_which_nothing_runs(tmp_path) -> None:
    source = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    data = shown(tmp_path, "a.svg", source)
    assert data.keys() == {"text/plain", "text/html"}
    elements = Elements(str(data["text/html"]))
    assert elements.tags == {"img"}
    assert base64.b64encode(source).decode() in str(data["text/html"])


def test_html_is_in_a_frame_without_scripts_origin_and_network(tmp_path) -> None:
    page = '<h1 title="a&b">x</h1><script>alert(1)</script></iframe>\r\n"\''
    text = str(shown(tmp_path, "a.html", page.encode())["text/html"])
    elements = Elements(text)
    assert elements.tags == {"iframe"}
    assert '<iframe sandbox="" ' in text
    inner = html.unescape(text.partition('srcdoc="')[2].rpartition('"></iframe>')[0])
    assert inner.startswith(
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    )
    assert inner.endswith(page)


def test_json_is_shown_as_data(tmp_path) -> None:
    data = shown(tmp_path, "a.json", b'{"a": [1, 2.5, null, true, "\\ud800", 1e999, NaN]}')
    value = data["application/json"]
    assert value == {"a": [1, 2.5, None, True, "?", "1e999", "NaN"]}
    json.dumps(data, allow_nan=False).encode()


def test_csv_is_a_table(tmp_path) -> None:
    data = shown(tmp_path, "a.csv", b'name,"size, in kB"\r\nbin,3\r\n<b>,"4"\r\n')
    assert data["text/plain"] == "name  size, in kB\nbin   3\n<b>   4"
    assert "<code>&lt;b&gt;</code>" in str(data["text/html"])
    assert "<th" in str(data["text/html"])
    assert str(shown(tmp_path, "a.tsv", b"a\tb\n1\t2\n")["text/plain"]) == "a  b\n1  2"


def test_a_long_csv_is_cut_and_says_so(tmp_path) -> None:
    data = shown(tmp_path, "a.csv", b"1,2\n" * 5_000)
    assert "4,799 more rows" in str(data["text/plain"])
    assert "4,799 more rows" in str(data["text/html"])


def test_markdown_is_shown_with_its_structure(tmp_path) -> None:
    text = "# Title\n\nSome *stressed* and **strong** `a < b`.\n\n- one\n- two\n\n```c\nint *a;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    data = shown(tmp_path, "a.md", text.encode())
    assert data["text/plain"] == text
    page = str(data["text/html"])
    assert "<h1>Title</h1>" in page
    assert "<em>stressed</em> and <strong>strong</strong> <code>a &lt; b</code>" in page
    assert "<li>one</li>\n<li>two</li>" in page
    assert "<pre><code>int *a;</code></pre>" in page
    assert "<td>1</td>" in page
    assert "text/markdown" not in data


@given(
    st.lists(
        st.sampled_from(
            [
                "# ",
                "- ",
                "> ",
                "|",
                "```",
                "\n",
                "`",
                "**",
                "*",
                "&",
                HOSTILE_TEXT,
                "a",
                " ",
                "<",
                '"',
            ]
        ),
        max_size=30,
    ).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_no_markdown_makes_an_element_that_could_do_something(text: str) -> None:
    elements = Elements(to_html(text))
    assert elements.tags <= HARMLESS
    assert elements.attributes <= {"class"}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".md"])
def test_hostile_text_stays_text(tmp_path, ending: str) -> None:
    data = shown(tmp_path, "a" + ending, HOSTILE_TEXT.encode() + b"\xff\0")
    page = str(data["text/html"])
    elements = Elements(page)
    assert elements.tags <= HARMLESS
    assert "mathjax_ignore" in page
    assert "\x1b" not in page
    assert "\x1b" not in str(data["text/plain"])


@given(
    st.binary(max_size=200),
    st.sampled_from([".png", ".svg", ".html", ".json", ".md", ".csv", ".tsv", ".gif"]),
)
@settings(max_examples=300, deadline=None)
def test_any_content_is_shown_or_refused_with_a_reason(
    tmp_path_factory, data: bytes, ending: str
) -> None:
    path = str(tmp_path_factory.getbasetemp() / f"any{ending}")
    with open(path, "wb") as file:
        file.write(data)
    with contextlib.suppress(MagicError):
        found = display.load(path, "any" + ending)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


def test_what_cannot_be_shown_is_told_by_its_reason(tmp_path) -> None:
    assert reason(tmp_path, "a.exe", b"x") == "magic-format-unknown"
    assert reason(tmp_path, "missing.png") == "magic-file-unreadable"
    assert reason(tmp_path, "a.png", b"GIF89a") == "magic-file-damaged"
    assert reason(tmp_path, "a.json", b"{") == "magic-file-damaged"
    assert reason(tmp_path, "b.json", b"[" * 100_000) == "magic-file-damaged"
    assert reason(tmp_path, "c.json", b"[" * 100 + b"]" * 100) == "magic-file-damaged"
    assert reason(tmp_path, "big.csv", b"x" * ((1 << 20) + 1)) == "magic-file-large"


def test_only_regular_files_are_opened_and_none_of_proc(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "memory.csv").symlink_to("/proc/self/environ")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "real.csv").write_text("a,b\n")
    (tmp_path / "link.csv").symlink_to("real.csv")
    for name in (
        "fifo.csv",
        "zero.csv",
        "memory.csv",
        "folder.csv",
        "loop.csv",
        "a\0b.csv",
        "x" * 5_000 + ".csv",
    ):
        assert reason(tmp_path, name) == "magic-file-unreadable", name
    assert display.load(str(tmp_path / "link.csv"), "link.csv")["text/plain"] == "a  b"


def test_markdown_that_is_meant_to_be_slow_is_not(tmp_path) -> None:
    for unit in ("# ", "#", "|", "| ", "*", "`", "**a", "> ", "- ", "1."):
        to_html(unit * 300_000 + "x")


def test_display_reads_files_where_the_shell_is_and_puts_variables_in(tmp_path) -> None:
    (tmp_path / "a b.csv").write_text("1,2\n")
    kernel = Noted(Told(str(tmp_path), out=str(tmp_path)))
    kernel.run("%display 'a b.csv'\n%display $out/a\\ b.csv")
    kernel.run('%display "$out/a b.csv"')
    assert [data["text/plain"] for data in kernel.shown] == ["1  2"] * 3
    with pytest.raises(MagicError) as caught:
        kernel.run("%display $unknown/a.csv")
    assert caught.value.reason == "magic-usage"
