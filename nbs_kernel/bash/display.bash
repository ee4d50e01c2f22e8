# shellcheck shell=bash disable=SC2154,SC2317  # the rest is in startup.bash, which calls what is here
# Read before startup.bash, as a part of it: the word `display`, in shells whose cells have used it.

# Defines the word for a cell, unless there is one: $1 is a terminal over which the driver is asked, $2
# what requests begin with, $3 the number of the cell. Nothing is exported: what a cell starts has none.
__nbs_offer() {
  __nbs_asking=$1 __nbs_asking_nonce=$2 __nbs_asking_cell=$3
  if builtin declare -F display >/dev/null; then builtin return; fi
  __nbs_own_display=1
  display() {
    { builtin local - && builtin set +xk; } 2>/dev/null
    __nbs_called="display${*:+ $*}"
    __nbs_display "$@" || builtin return
    __nbs_called=
  }
}

# Shows each file; what is wrong with one the driver says. It has read the file when it answers, which
# may change then.
__nbs_display() {
  builtin local IFS=$' \t\n' __nbs_file __nbs_answer __nbs_number __nbs_failed=''
  # In a script it is the script's word, and not the user's.
  for __nbs_file in "${BASH_SOURCE[@]:2}"; do
    if [[ $__nbs_file && $__nbs_file != main && $__nbs_file != environment ]]; then
      command display "$@"
      builtin return
    fi
  done
  if (($# == 0)); then builtin set -- ''; fi
  for __nbs_file in "$@"; do
    __nbs_answer='' __nbs_number=$((RANDOM * 32768 + RANDOM))
    builtin printf '%s\0' "@$__nbs_asking_nonce show $__nbs_number 3" "$__nbs_asking_cell" "$PWD" "$__nbs_file" \
      >"$__nbs_asking" || builtin return
    # An answer to a question that was interrupted may be left.
    until [[ $__nbs_answer == "$__nbs_number "* ]]; do
      builtin read -r -t 60 __nbs_answer <"$__nbs_asking" || builtin return
    done
    if [[ $__nbs_answer != *' 0' ]]; then __nbs_failed=1; fi
  done
  [[ ! $__nbs_failed ]]
}

__nbs_forget_display() {
  if [[ $(builtin declare -f display) == *__nbs_display* ]]; then builtin unset -f display; fi
}

builtin readonly -f __nbs_offer __nbs_display __nbs_forget_display
