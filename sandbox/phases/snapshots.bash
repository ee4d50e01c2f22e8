# shellcheck shell=bash
# The words `snapshot`, `restore` and `snapshots` of a shell in a kept workspace. They ask the
# supervisor outside over descriptor 60. Nothing here starts a process: one that runs inside would
# be in the way of a restore.

snapshot() { __nbs_ask snapshot "$@"; }

snapshots() { __nbs_ask snapshots "$@"; }

restore() {
  builtin local __nbs_here=$PWD __nbs_before=${OLDPWD-} __nbs_status=0
  builtin cd -P / || builtin return
  __nbs_ask restore "$@" || __nbs_status=$?
  while ! builtin cd -- "${__nbs_here:-/}" 2>/dev/null; do
    __nbs_here=${__nbs_here%/*}
    if [[ -z $__nbs_here ]]; then builtin break; fi
  done
  OLDPWD=$__nbs_before
  builtin return "$__nbs_status"
}

__nbs_ask() {
  # A number that the answer to a request that was interrupted does not have.
  builtin local IFS=' ' __nbs_line __nbs_asked=$(((RANDOM * 32768 + RANDOM) % 1000000000))
  if [[ $* == *$'\n'* ]]; then
    builtin echo "error: a name has no newline in it" >&2
    builtin return 2
  fi
  builtin echo "$__nbs_asked $*" >&60 || builtin return 125
  while IFS= builtin read -r -u 60 __nbs_line; do
    case $__nbs_line in
      "$__nbs_asked|error: "* | "$__nbs_asked|hint: "* | "$__nbs_asked|  "*) builtin printf '%s\n' "${__nbs_line#*|}" >&2 ;;
      "$__nbs_asked|"*) builtin printf '%s\n' "${__nbs_line#*|}" ;;
      "$__nbs_asked="*) builtin return "${__nbs_line#*=}" ;;
    esac
  done
  builtin echo "error: the supervisor outside does not answer" >&2
  builtin return 125
}
