"""What each of bash's built-ins is for, in a line: a bash without `help` cannot say it itself."""

from __future__ import annotations

SYNOPSES: dict[str, tuple[str, str]] = {
    ".": (". FILE [ARGUMENT…]", "run the commands of a file in this shell"),
    ":": (": [ARGUMENT…]", "do nothing, successfully"),
    "[": ("[ EXPRESSION ]", "test a condition; the same as `test`"),
    "alias": ("alias [-p] [NAME[=TEXT]…]", "define aliases, or show them"),
    "bg": ("bg [JOB…]", "let stopped jobs go on in the background"),
    "break": ("break [N]", "leave the innermost loop, or N of them"),
    "builtin": ("builtin NAME [ARGUMENT…]", "run a built-in, even if a function has its name"),
    "caller": ("caller [N]", "show the line and file of the current call"),
    "cd": ("cd [-L|-P] [DIRECTORY]", "change the directory; `-` is the one before"),
    "command": ("command [-pVv] NAME [ARGUMENT…]", "run a command, but no function of that name"),
    "continue": ("continue [N]", "begin the next round of a loop"),
    "declare": ("declare [-aAfFgiIlnrtux] [-p] [NAME[=VALUE]…]", "set variables, or show them"),
    "dirs": ("dirs [-clpv] [+N] [-N]", "show the stack of directories"),
    "disown": ("disown [-h] [-ar] [JOB…]", "forget jobs, so that they outlive the shell"),
    "echo": ("echo [-neE] [ARGUMENT…]", "print the arguments and a line end"),
    "enable": ("enable [-a] [-dnps] [-f FILE] [NAME…]", "switch built-ins on or off (-n), or list"),
    "eval": ("eval [ARGUMENT…]", "run the arguments, joined by spaces, as a command"),
    "exec": ("exec [-cl] [-a NAME] [COMMAND…]", "put a program in the place of the shell"),
    "exit": ("exit [N]", "end the shell with the status N, or that of the last command"),
    "export": ("export [-fn] [NAME[=VALUE]…]", "pass variables on to the programs that are run"),
    "false": ("false", "fail"),
    "fc": ("fc [-e EDITOR] [-lnr] [FIRST] [LAST]", "list, edit or repeat former commands"),
    "fg": ("fg [JOB]", "bring a job to the foreground"),
    "getopts": ("getopts OPTIONS NAME [ARGUMENT…]", "take the next option from the arguments"),
    "hash": ("hash [-lr] [-p PATH] [-dt] [NAME…]", "remember, or forget (-r), where programs are"),
    "help": ("help [-dms] [PATTERN…]", "tell about built-ins"),
    "history": ("history [-c] [-d OFFSET] [N]", "show the list of former commands"),
    "jobs": ("jobs [-lnprs] [JOB…]", "show the jobs and how they are"),
    "kill": ("kill [-s SIGNAL | -SIGNAL] PID|JOB…", "send a signal; -l lists them"),
    "let": ("let EXPRESSION…", "compute arithmetic; fails if the last result is 0"),
    "local": ("local [OPTION] NAME[=VALUE]…", "make variables of the function that runs"),
    "logout": ("logout [N]", "end a login shell"),
    "mapfile": ("mapfile [-d END] [-n COUNT] [-t] [ARRAY]", "read lines into an array"),
    "popd": ("popd [-n] [+N | -N]", "go back to a directory of the stack"),
    "printf": ("printf [-v NAME] FORMAT [ARGUMENT…]", "print arguments by a format; %q quotes"),
    "pushd": ("pushd [-n] [DIRECTORY]", "go to a directory and remember this one"),
    "pwd": ("pwd [-LP]", "print the directory"),
    "read": (
        "read [-ers] [-a ARRAY] [-d END] [-n N] [-p PROMPT] [-t S] [-u FD] [NAME…]",
        "read a line into variables",
    ),
    "readarray": ("readarray [-d END] [-n COUNT] [-t] [ARRAY]", "read lines into an array"),
    "readonly": ("readonly [-aAf] [NAME[=VALUE]…]", "make variables that cannot be changed"),
    "return": ("return [N]", "leave a function, or a file that is sourced, with a status"),
    "set": ("set [-abefhkmnptuvxBCEHPT] [-o OPTION] [ARGUMENT…]", "set options and arguments"),
    "shift": ("shift [N]", "drop the first arguments"),
    "shopt": ("shopt [-pqsu] [-o] [OPTION…]", "switch options of the shell on (-s) or off (-u)"),
    "source": ("source FILE [ARGUMENT…]", "run the commands of a file in this shell"),
    "suspend": ("suspend [-f]", "stop the shell until it is continued"),
    "test": (
        "test EXPRESSION",
        "test a condition: files (-e -f -d -x), text (= -z -n), numbers (-eq)",
    ),
    "times": ("times", "show the time that the shell and its children have used"),
    "trap": (
        "trap [-lp] [COMMAND SIGNAL…]",
        "run a command at a signal, EXIT, ERR, DEBUG or RETURN",
    ),
    "true": ("true", "succeed"),
    "type": ("type [-afptP] NAME…", "say what a name would run"),
    "typeset": ("typeset [-aAfFgiIlnrtux] [-p] [NAME[=VALUE]…]", "the same as `declare`"),
    "ulimit": ("ulimit [-SHa] [-cdefiklmnpqrstuvx] [LIMIT]", "show or set limits of resources"),
    "umask": ("umask [-pS] [MODE]", "show or set what rights new files do not get"),
    "unalias": ("unalias [-a] NAME…", "remove aliases"),
    "unset": ("unset [-fnv] NAME…", "remove variables or functions (-f)"),
    "wait": ("wait [-fn] [-p NAME] [JOB…]", "wait for jobs and give their status"),
}
KEYWORD_SYNOPSES = {
    "if": "if LIST; then LIST; [elif LIST; then LIST;]… [else LIST;] fi",
    "for": "for NAME [in WORD…]; do LIST; done, or for ((A; B; C)); do LIST; done",
    "while": "while LIST; do LIST; done",
    "until": "until LIST; do LIST; done",
    "case": "case WORD in [PATTERN [| PATTERN]…) LIST;;]… esac",
    "select": "select NAME [in WORD…]; do LIST; done",
    "function": "function NAME { LIST; }",
    "time": "time [-p] PIPELINE",
    "coproc": "coproc [NAME] COMMAND",
    "[[": "[[ EXPRESSION ]]",
    "{": "{ LIST; }",
    "!": "! PIPELINE",
}


def synopsis(name: str) -> str:
    """One line on a built-in or a keyword, empty for a name that is neither."""
    if name in SYNOPSES:
        usage, meaning = SYNOPSES[name]
        return f"{usage}\n    {meaning}"
    return KEYWORD_SYNOPSES.get(name, "")
