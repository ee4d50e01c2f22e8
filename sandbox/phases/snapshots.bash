# shellcheck shell=bash
# The words `snapshot`, `restore` and `snapshots` of a shell in a kept workspace. They ask the
# supervisor outside over descriptor 60. No process of these words lives when it is asked: one that
# runs inside would be in the way of a restore.

snapshot() { __nbs_ask snapshot "$@"; }

snapshots() { __nbs_ask snapshots "$@"; }

restore() { __nbs_ask restore "$@"; }

# What a recipe could set, and the phase passes with: `nbs patch --nix` tells it.
__nbs_phase_passed() {
  builtin local IFS=' ' __nbs_words
  # 4.4 is the first that quotes so.
  if ((BASH_VERSINFO[0] == 4 && BASH_VERSINFO[1] < 4 || BASH_VERSINFO[0] < 4)); then builtin return 0; fi
  __nbs_words=${*@Q}
  if ((${#__nbs_words} < 60000)); then builtin echo "0 passed $__nbs_words" >&60; fi
  builtin return 0
}

__nbs_ask() {
  # A number that the answer to another request does not have.
  builtin local IFS=' ' __nbs_asked=$(((RANDOM * 32768 + RANDOM) % 1000000000)) __nbs_trap __nbs_status=0
  builtin local __nbs_here=$PWD __nbs_before=${OLDPWD-}
  if [[ $* == *$'\n'* ]]; then
    builtin echo "error: a name has no newline in it" >&2
    builtin return 2
  fi
  # An interrupt must not take the shell away from what is being done: it would go on in files that
  # are replaced behind its back. It is passed on, and the answer comes all the same.
  __nbs_trap=$(builtin trap -p INT)
  builtin trap 'builtin echo >&2; builtin echo "$__nbs_asked cancel" >&60' INT
  # Who is in a directory keeps it as it was.
  if [[ $1 == restore ]]; then builtin cd -P / || builtin return; fi
  __nbs_await "$__nbs_asked $*" || __nbs_status=$?
  if [[ $1 == restore ]]; then __nbs_come_back; fi
  builtin trap - INT
  builtin eval "${__nbs_trap:+builtin $__nbs_trap}"
  builtin return "$__nbs_status"
}

__nbs_await() {
  builtin local __nbs_line __nbs_begun='' __nbs_read
  builtin echo "$1" >&60 || builtin return 125
  while :; do
    __nbs_line=''
    # Not for ever: of an interrupt that comes just before it waits, bash would hear only afterwards.
    IFS= builtin read -r -t 1 -u 60 __nbs_line
    __nbs_read=$?
    __nbs_begun+=$__nbs_line
    # Above 128: an interrupt, or the second is over.
    if ((__nbs_read > 128)); then builtin continue; fi
    __nbs_line=$__nbs_begun __nbs_begun=''
    case $__nbs_line in
      "$__nbs_asked|error: "* | "$__nbs_asked|hint: "* | "$__nbs_asked|  "*) builtin printf '%s\n' "${__nbs_line#*|}" >&2 ;;
      "$__nbs_asked|"*) builtin printf '%s\n' "${__nbs_line#*|}" ;;
      "$__nbs_asked="*) builtin return "${__nbs_line#*=}" ;;
    esac
    if ((__nbs_read > 0)); then builtin break; fi
  done
  builtin echo "error: the supervisor outside does not answer" >&2
  builtin return 125
}

# To where the shell was, or to what is left of the way there.
__nbs_come_back() {
  while ! builtin cd -- "${__nbs_here:-/}" 2>/dev/null; do
    __nbs_here=${__nbs_here%/*}
    if [[ -z $__nbs_here ]]; then builtin break; fi
  done
  OLDPWD=$__nbs_before
}
