"""JupyterLab in a real browser: what a person does there with a notebook of this kernel."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.frontends import processes
from tests.kernel.frontends.conftest import require, until, workspaces

pytest.importorskip("selenium")

from selenium.webdriver.common.keys import Keys

from tests.kernel.frontends.lab import CHROMEDRIVER, CHROMIUM, Lab, Server, browser, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kernel.conftest import Home

pytestmark = pytest.mark.browser
CARD = "Nix build (nbs)"


@pytest.fixture(scope="module")
def lab_home(make_home: Callable[[str], Home]) -> Home:
    return make_home("lab-home")


@pytest.fixture(scope="module")
def page(lab_home: Home) -> Iterator[Lab]:
    """A browser at a server; in the end nothing of both, nor of the kernels, is there."""
    require(programs=(CHROMIUM, CHROMEDRIVER))
    me = os.getpid()
    before = processes.below(me)
    directory = lab_home.path / "notebooks"
    directory.mkdir()
    with processes.orphans_stay_below():
        server = Server(lab_home, directory)
        try:
            driver = browser(lab_home)
            try:
                yield Lab(driver, server)
            finally:
                driver.quit()
        finally:
            server.stop()
        until(lambda: processes.below(me) <= before, "browser, server and kernels have ended")
    until(lambda: not workspaces(lab_home), "no workspace is left")


@pytest.fixture
def lab(page: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A new notebook, by a click on the kernel's card. Of a failure there is a picture."""
    page.open_launcher()
    page.new_notebook(CARD)
    failed_before = request.session.testsfailed
    yield page
    pictures = os.environ.get("NBS_TEST_PICTURES")
    if pictures and request.session.testsfailed > failed_before:
        page.picture(Path(pictures) / f"{request.node.name}.png")
    page.close_notebooks()


def test_the_launcher_shows_the_kernel_with_its_logo(page):
    page.open_launcher()
    card = page.see('.jp-LauncherCard[data-category="Notebook"]', CARD)
    (logo,) = card.find_elements("css selector", "img")
    assert "/kernelspecs/nbs/logo-" in logo.get_attribute("src")
    wait(lambda: int(logo.get_property("naturalWidth")) > 0, "the logo's picture")


def test_the_server_cuts_nothing_of_a_noisy_cell(page):
    """It leaves out what a cell shows at more than 1 MB a second, counted over three seconds."""
    size = 4_000_000
    text = page.server.text_of([f"%limit 9M\nhead -c {size} /dev/zero | tr '\\0' x", "echo end"])
    assert text.count("x") >= size
    assert text.endswith("end\n")
    assert "exceeded" not in text


def test_cells_run_in_the_sandbox(lab):
    shown = lab.run("echo $name; pwd; id -un", "nixbld")
    assert shown.endswith("hello-1.0\n/build/hello\nnixbld")
    lab.run("cd ..\nls hello", "hello.c")


def test_output_is_shown_while_the_cell_runs(lab):
    cell = lab.start("echo begun; sleep 1000")
    lab.shows(cell, "begun")
    lab.click('[data-jp-item-name="interrupt"] jp-button')
    lab.finished(cell)
    lab.shows(cell, "KeyboardInterrupt")
    assert lab.run("echo on", "on") == "on"


def test_a_cell_that_fails_says_what_where_and_stops_the_cells_behind_it(lab):
    shown = lab.run("f() {\n(exit 3)\n}\nf", "ExitStatus")
    assert "3" in shown
    assert "f" in shown


def test_tab_completes_and_offers(lab):
    lab.type("cat Makef")
    lab.press(Keys.TAB)
    lab.see(".jp-Completer-item.jp-mod-active", "Makefile")
    lab.press(Keys.ENTER)
    wait(lambda: lab.last_text() == "cat Makefile", "the file's whole name")
    lab.chord(Keys.CONTROL, "a")
    lab.press("echo $NIX_BUILD_")
    lab.press(Keys.TAB)
    lab.see(".jp-Completer-item", "NIX_BUILD_CORES")
    lab.press(Keys.ESCAPE)


def test_shift_tab_explains_what_is_under_the_cursor(lab):
    lab.run("greet() { echo hallo; }")
    lab.type("greet")
    lab.chord(Keys.SHIFT, Keys.TAB)
    lab.see(".jp-Tooltip", "echo hallo")
    lab.press(Keys.ESCAPE)


def test_a_program_that_asks_gets_an_input_box(lab):
    lab.run("%stdin on")
    cell = lab.start("read -p 'who? ' who; echo hallo $who")
    lab.see(".jp-Stdin-prompt", "who?")
    lab.answer("Ada")
    lab.shows(cell, "hallo Ada")
    lab.finished(cell)
    assert lab.output(cell).count("who?") == 1


def test_a_secret_is_typed_unseen(lab):
    lab.run("%stdin on")
    cell = lab.start("read -s -p 'key? ' key; echo ${#key}")
    kind = wait(lambda: lab.see(".jp-Stdin-input").get_attribute("type"), "an input box")
    assert kind == "password"
    lab.answer("abc")
    lab.shows(cell, "3")
    lab.finished(cell)
    assert "abc" not in lab.output(cell)


def test_restart_makes_a_fresh_kernel(lab):
    lab.run("x=1; echo old > left-over")
    lab.restart()
    assert lab.run("echo ${x-none}", "none").endswith("none")


def test_enter_moves_the_notebook_into_another_build(lab, failed_builds):
    lab.run("touch here")
    lab.run(f"%enter {failed_builds[1]}", "hello-1.0")
    assert lab.run("test -e here || echo moved", "moved") == "moved"
    lab.idle()


def test_what_is_known_of_the_build_is_shown_as_a_table(lab):
    cell = lab.start("%build")
    lab.finished(cell)
    lab.shows(cell, "hello-1.0")
    assert cell.find_elements("css selector", ".jp-RenderedHTMLCommon table")


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """An address of this machine, and the paths that somebody has asked it for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


HOSTILE = r"""
evil='<img src="ADDRESS/img" onerror="top.owned=1"><script>top.owned=parent.owned=1</script>'
evil+='<iframe src="ADDRESS/frame"></iframe><a href="javascript:top.owned=1">a</a>$\href{javascript:1}{b}$'
inner=${evil//[\"\\]/}
printf '%s' "<html>$evil<link rel=stylesheet href=ADDRESS/css></html>" >evil.html
printf '%s' "<svg xmlns='http://www.w3.org/2000/svg' onload='top.owned=1'><script>top.owned=1</script>
<image href='ADDRESS/svg'/><foreignObject>$evil</foreignObject></svg>" >evil.svg
printf 'name,%s\n"%s",2\n' "$inner" "$inner" >'<img src=x onerror=top.owned=1>.csv'
printf '# %s\n\n[a](javascript:top.owned=1) ![b](ADDRESS/md) `%s`\n\n> %s\n\n| %s |\n' "$evil"{,,,} >evil.md
printf '{"%s": ["%s"]}' "$inner" "$inner" >evil.json
export EVIL=$evil
"""


def test_nothing_that_a_build_has_written_runs_in_the_page(lab):
    """The page has all the rights of its user, and trusts what was shown in it."""
    with listening() as (address, asked):
        # An editor would close the quotes of what is typed.
        written = base64.b64encode(HOSTILE.replace("ADDRESS", address).encode()).decode()
        lab.run(f'eval "$(echo {written} | base64 -d)"; echo written', "written")
        show = 'for file in *evil* *.csv; do echo; display "$file"; echo; done'
        cell = lab.start(f"{show}\nprintf '%s\\n' \"$evil\"; echo shown")
        lab.shows(cell, "shown")
        lab.finished(cell)
        assert len(cell.find_elements("css selector", ".jp-OutputArea-output iframe")) == 1
        for code in ("%env\n%diff --stat\n%snapshots\n%build", '"$EVIL"', "echo ${x:?$EVIL}"):
            lab.finished(lab.start(code))
        lab.type("cat ./")
        lab.press(Keys.TAB)
        lab.see(".jp-Completer-item", "onerror")
        lab.press(Keys.ESCAPE)
        lab.chord(Keys.CONTROL, "a")
        lab.press("echo $EVIL")
        lab.chord(Keys.SHIFT, Keys.TAB)
        lab.see(".jp-Tooltip", "onerror")
        lab.press(Keys.ESCAPE)
        assert lab.driver.execute_script("return window.owned") is None
        assert asked == []
        # It could be seen if it were otherwise.
        lab.driver.execute_script(f"document.body.innerHTML += '<img src=\\'{address}/x\\'>'")
        wait(lambda: asked == ["/x"], "a request of the page itself")


def test_cells_are_coloured_as_shell(lab):
    cell = lab.type('echo "$name" # a comment')

    def coloured() -> bool:
        spans = cell.find_elements("css selector", ".cm-line span")
        return any("# a comment" in span.text for span in spans)

    wait(coloured, "a colour of its own for the comment")
