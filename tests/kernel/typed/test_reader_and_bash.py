"""Where commands can stand, compared with bash's own parser.

bash puts an alias in only where a command can stand, and does so while it reads. So of a function
that is defined and never run, `declare -f` tells which words were at such places.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from nbs_kernel.typed.reader import Reader
from tests.kernel.typed.shells import bash

simple = st.sampled_from(
    [
        "@",
        "@ @",
        "echo @ @",
        "A=1 @ @",
        "A='x y' B=\"$z\" @",
        # No word of an array: there bash may put an alias in, but would run nothing.
        "a=(b 'c' \"d\") @ @",
        "a=(b # it's\n c) ",
        "> out @ @",
        "2>&1 @ > @",
        "@ &> @",
        "echo ${a:-@} @",
        'echo "@ ${a:-"@ b"}" @',
        "echo '@' $'@\\'' @",
        "echo a\\\n @",
        "\\\n@",
        "echo $((@ + 1)) @",
        "((@++))",
        "[[ @ == @ && -f @ ]]",
        "[[ @ =~ ^(@|b)$ || ! -d @ ]]",
        "[[ @ < @ ]]",
        "echo a#@ @",
        "echo @;# it's a comment @\n@",
        "cat << E @\n@ $x ` `\nE\n@",
        "cat <<'E'\n@ \" ' $(\nE\n@",
        "cat <<-E | @\n\t@\n\tE\n@",
        "cat <<A <<B; @\n@\nA\n@\nB\n@",
        "cat <<< @ @",
        "time @",
        "time -p @",
        "! @",
        "exec 3<@ @",
        "é=1 @ 𝄞",
        "for i in @ b; do @; done",
        "for i; do @; done",
        "for i in @\ndo @; done > @",
        "for ((i=0; i<@; i++)); do @; done",
        "select i in @; do @; done",
        "echo {@,b} @",
        "x=1; @",
        "export A=@ @",
        "echo @ &\n@",
    ]
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    forms = [
        "if {0}\nthen {1}\nelif {0}\nthen :\nelse {1}\nfi",
        "if {0}\nthen {1}\nfi > @",
        "while {0}\ndo {1}\ndone",
        "until {0}\ndo\n{1}\ndone < @",
        "{{ {0}\n}}",
        "( {0}\n)",
        "{0}\n{1}",
        "f2 () {{ {0}\n}}",
        "f2 () (\n{0}\n)",
        "function f2 {{ {0}\n}}",
        "function f2 ()\n{{ {0}\n}}",
        "case @ in @) {0}\n;; (b|@) {1}\n;& *) :;;& c) ;; esac",
        "case a in\n@)\n{0}\nesac",
        "case a in esac; @",
        "{{ {0}\n}} && @",
        "{{ {0}\n}} | @ || @",
        "( {0}\n) |& @",
        "coproc {{ {0}\n}}",
    ]
    return st.builds(lambda form, a, b: form.format(a, b), st.sampled_from(forms), inner, inner)


scripts = st.recursive(simple, compound, max_leaves=5)


@given(scripts)
@settings(max_examples=150, deadline=None)
def test_a_command_stands_where_bash_takes_one(script: str) -> None:
    names = iter(range(10_000))
    script = re.sub("@", lambda _: f"XX{next(names)}XX", script)
    count = next(names)
    aliases = "".join(f"alias XX{n}XX=YY{n}YY\n" for n in range(count))
    defined = f"shopt -s expand_aliases extglob\n{aliases}f () {{\n{script}\n}}\ndeclare -f f"
    # Each line is read on its own, so the aliases are there when the function is read.
    parsed = bash(defined.encode()).decode()
    wanted = {n for n in range(count) if f"YY{n}YY" in parsed}
    found = set()
    for number in range(count):
        word = f"XX{number}XX"
        place = Reader(script[: script.index(word) + len(word)]).place()
        if place.kind == "command" and place.text == word:
            found.add(number)
    assert found == wanted, (script, parsed)
