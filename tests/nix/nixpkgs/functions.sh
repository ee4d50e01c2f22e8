# shellcheck shell=bash
# What makeWrapper and stdenv give to a phase, as far as postFixup uses it.

makeWrapper() {
  local program=$1 wrapper=$2
  shift 2
  mkdir -p "${wrapper%/*}"
  {
    printf '#!/bin/sh\n'
    while [ $# -gt 0 ]; do
      case $1 in
        --set) printf "export %s='%s'\n" "$2" "$3"; shift 3 ;;
        --prefix) printf "export %s='%s'\${%s:+%s\$%s}\n" "$2" "$4" "$2" "$3" "$2"; shift 4 ;;
        *) printf 'makeWrapper: %s\n' "$1" >&2; return 1 ;;
      esac
    done
    printf 'exec %s "$@"\n' "$program"
  } >"$wrapper"
  chmod +x "$wrapper"
}

substituteInPlace() {
  [ "$2" = --replace-fail ] && grep -qF -- "$3" "$1" || return 1
  local text
  text=$(cat "$1")
  printf '%s\n' "${text//"$3"/"$4"}" >"$1"
}
