# shellcheck shell=bash disable=SC2317  # what is defined here is called by the lines that the driver sends
# Read once by the interactive bash that runs the cells, before its first command line.
#
# Descriptor 0 brings command lines, 62 takes records, and 2 is the controlling terminal until job
# control has been set up, which was before this file is read. A cell sees none of them. A record is a
# head (nonce, kind, number of the cell or question, count of fields) and its fields, each ended by NUL.
#
# All that could be a function of the user's is called through `builtin`, and `builtin` itself is
# looked after at the end of each cell. What a user may have made readonly is never assigned to.

exec 9<&- >/dev/null 2>&1
builtin set +H +o history
builtin shopt -u checkwinsize
builtin unset -v PS0 PS1 PS2 PROMPT_COMMAND TMOUT HISTFILE MAILCHECK
__nbs_nonce=@NONCE@
__nbs_reported=0 __nbs_last=0 __nbs_options='' __nbs_prompt=() __nbs_user_err='' __nbs_int=''
__nbs_ran='' __nbs_ended='' __nbs_why='' __nbs_status=0 __nbs_command='' __nbs_frames='' __nbs_base=0
__nbs_flags='' __nbs_reached='' __nbs_own_trap='' __nbs_debug='' __nbs_passed='' __nbs_none=''
__nbs_last_command='' __nbs_seen='' __nbs_called=''

__nbs_record() {
  builtin printf '%s\0' "@$__nbs_nonce $1 $2 $(($# - 2))" "${@:3}" >&62
}

# Keeps where a command failed: status, command, line, how many of the innermost calls are ours, and
# PIPESTATUS. A failure that only passes on one of the same status in a function it called is not
# kept, nor that of the `eval` that a cell is run with: an error of expansion gets there, and what
# fails in a cell that does not tell its end.
__nbs_note() {
  builtin local "line=$3" frames='' i stale='' "command=$2"
  # The word `phase` ends so. It has said how it was called.
  if [[ $2 == 'builtin return' && $__nbs_called ]]; then command=$__nbs_called __nbs_called=''; fi
  if (($# > 4)); then __nbs_is_stale "$1" "$2" "${@:5}" && stale=1; fi
  for ((i = $4; i < ${#FUNCNAME[@]}; i++)); do
    if ((i < 60)); then frames+=${FUNCNAME[i]}$'\036'${BASH_SOURCE[i]}$'\036'$line$'\036'; fi
    line=${BASH_LINENO[i]}
  done
  frames+=$'\036\036'$line
  # In quotes as it is told.
  # shellcheck disable=SC2016
  if [[ $frames == $'\036\036'"$line" && $2 == '\builtin eval '*'__nbs_begin "$LINENO" "'* ]]; then
    __nbs_passed=$1
    builtin return "$1"
  fi
  __nbs_last_command=$2
  if [[ $stale ]]; then
    __nbs_status=$1 __nbs_frames='' __nbs_command=''
  elif [[ $1 != "$__nbs_status" || $__nbs_frames != *$'\036'"$frames" ]]; then
    __nbs_status=$1 __nbs_frames=$frames __nbs_command=${command:0:10000}
  fi
  builtin return "$1"
}

# Whether bash names the command before the one that failed: it does when the files of a compound
# command cannot be opened, which touches neither BASH_COMMAND nor LINENO. Nor does it touch
# PIPESTATUS, which all that fails sets but for `((`, `[[` and the jobs that `%` stands for.
__nbs_is_stale() {
  builtin local status=$1 i
  # The last of what is run before a cell.
  # shellcheck disable=SC2016
  if [[ $2 == 'builtin return "$__nbs_last"' ]]; then builtin return 0; fi
  if [[ $2 == '(('* || $2 == '[['* || $2 == %* ]]; then builtin return 1; fi
  for i in "${@:3}"; do
    if [[ $i == "$status" ]]; then builtin return 1; fi
  done
}

# Back to the command lines, as an interrupt gets there: nothing else leaves all files, functions
# and evals at once and keeps what they did. The interrupt is taken at one of the next commands.
__nbs_throw() {
  __nbs_why=$1 __nbs_flags=${__nbs_flags:-$-}
  { builtin set +euxvTk; } 2>/dev/null
  __nbs_put_prompt_away 2>/dev/null
  if [[ ! $__nbs_int ]]; then __nbs_int=$(builtin trap -p INT); fi
  builtin trap - INT
  # It would say a newline.
  {
    builtin kill -INT "$$"
    builtin :
    builtin :
  } 2>/dev/null
}

# The trap that the driver interrupts with, which no trap of the user's replaces.
__nbs_leave() {
  if [[ $__nbs_ran && $BASHPID == "$$" ]]; then __nbs_throw interrupt; fi
}

# The ERR trap: under `set -e` bash would end after it.
__nbs_err() {
  __nbs_note "${@:1:3}" 2 "${@:4}" && builtin :
  __nbs_stop
}

__nbs_stop() {
  if [[ $- == *e* && $BASHPID == "$$" ]]; then
    if [[ $__nbs_passed ]]; then __nbs_throw passed; else __nbs_throw errexit; fi
  fi
}

# The user's ERR trap, if there is one, with ours around it. Errors count in functions too.
__nbs_set_err() {
  builtin set -E
  # What is in quotes is for the time when the trap is run.
  # shellcheck disable=SC2016
  if [[ $__nbs_user_err ]]; then
    builtin trap -- '__nbs_note "$?" "$BASH_COMMAND" "$LINENO" 1 "${PIPESTATUS[@]}" && builtin :; case $__nbs_passed in "")'$'\n'"$__nbs_user_err"$'\n''esac; __nbs_stop' ERR
  else
    builtin trap -- '__nbs_err "$?" "$BASH_COMMAND" "$LINENO" "${PIPESTATUS[@]}"' ERR
  fi
}

# Takes what `trap -p ERR` said of a trap that the user has set without asking us.
__nbs_adopt_err() {
  builtin eval "builtin set -- $1"
  __nbs_user_err=${3:-}
  # In POSIX mode that is how no trap is told.
  if [[ $__nbs_user_err == - ]]; then __nbs_user_err=; fi
}

# Stands in for `trap` in the cells that have to do with ERR.
# shellcheck disable=SC2064  # what is in the arguments is the user's
__nbs_trap() {
  builtin local status=0
  if [[ $BASHPID != "$$" ]]; then
    builtin trap "$@"
    builtin return
  fi
  if [[ $__nbs_user_err ]]; then builtin trap -- "$__nbs_user_err" ERR; else builtin trap - ERR; fi
  builtin trap "$@" || status=$?
  __nbs_adopt_err "$(builtin trap -p ERR)"
  __nbs_set_err
  builtin return "$status"
}

# A cell that exits keeps its shell, and all that it has set.
exit() {
  builtin local "status=$?"
  if [[ ${1:-} == -- ]]; then builtin shift; fi
  if [[ $BASHPID != "$$" || $# -gt 1 ]]; then
    builtin exit "${@:-$status}"
    builtin return
  fi
  if [[ ${1:-} && ! $1 =~ ^[[:space:]]*[-+]?[0-9]+[[:space:]]*$ ]]; then
    builtin printf '%s\n' "bash: exit: $1: numeric argument required" >&2
    builtin set -- 2
  fi
  __nbs_frames=
  __nbs_note "$((${1:-$status} & 255))" "exit${1:+ $1}" "${BASH_LINENO[0]}" 2 && builtin :
  __nbs_throw exit
}

# What bash would do, or say, before each command line.
__nbs_put_prompt_away() {
  builtin local name
  for name in PS0 PS1 PS2 TMOUT MAILCHECK; do
    if [[ ${!name+set} ]]; then __nbs_prompt+=("$name" "${!name}"); fi
    builtin unset -v "$name"
  done
  if [[ ${PROMPT_COMMAND[*]+set} ]]; then
    for name in "${PROMPT_COMMAND[@]}"; do __nbs_prompt+=(PROMPT_COMMAND "$name"); done
    builtin unset -v PROMPT_COMMAND
  fi
}

__nbs_take_prompt_back() {
  builtin local i count=0
  for ((i = 0; i < ${#__nbs_prompt[@]}; i += 2)); do
    if [[ ${__nbs_prompt[i]} == PROMPT_COMMAND ]]; then
      builtin printf -v "PROMPT_COMMAND[$count]" %s "${__nbs_prompt[i + 1]}"
      count=$((count + 1))
    else
      builtin printf -v "${__nbs_prompt[i]}" %s "${__nbs_prompt[i + 1]}"
    fi
  done
  __nbs_prompt=()
}

# The first command of a cell: its line; flags: "n" for a cell that does not tell its end, "t" for one
# that has to do with ERR traps; and what is to be known of the user's ERR trap, "-" that there is none.
__nbs_begin() {
  __nbs_ran=1 __nbs_ended='' __nbs_base=$1 __nbs_why='' __nbs_status=0 __nbs_command='' __nbs_frames=''
  __nbs_passed='' __nbs_seen='' __nbs_last_command='' __nbs_called=''
  if [[ $2 == *n* ]]; then __nbs_ended=1; fi
  if [[ $2 == *t* ]] && ! builtin declare -F trap >/dev/null; then
    __nbs_own_trap=1
    trap() { __nbs_trap "$@"; }
  fi
  if ((${#__nbs_prompt[@]})); then __nbs_take_prompt_back 2>/dev/null; fi
  if [[ ${3:-} == - ]]; then __nbs_user_err=; elif [[ ${3:-} ]]; then __nbs_adopt_err "$3"; fi
  __nbs_set_err
  if [[ ! $__nbs_options ]]; then builtin return "$__nbs_last"; fi
  { builtin set -"$__nbs_options"; } 2>/dev/null
}

# The last command of a cell.
__nbs_end() {
  __nbs_flags=$-
  builtin set +euxvTk
  __nbs_ended=1 __nbs_reached=$1
}

# A function of the user's with that name ends with the cell. Only POSIX mode, which an assignment
# turns on, finds `unset` before functions; it changes options.
__nbs_keep_builtin() {
  __nbs_probe=
  if builtin printf -v __nbs_probe %s 1 && [[ $__nbs_probe ]]; then builtin return; fi
  __nbs_probe=:$BASHOPTS: __nbs_posix=:$SHELLOPTS:
  POSIXLY_CORRECT=y
  \unset -f builtin
  if [[ $__nbs_posix != *:posix:* ]]; then \unset -v POSIXLY_CORRECT; fi
  for __nbs_posix in expand_aliases inherit_errexit interactive_comments sourcepath; do
    if [[ $__nbs_probe == *:$__nbs_posix:* ]]; then
      builtin shopt -s "$__nbs_posix"
    else
      builtin shopt -u "$__nbs_posix"
    fi
  done
}

# Where the functions in `__nbs_frames` are defined, a line each: name, line and file.
__nbs_definitions() {
  builtin local IFS=$'\036' names i
  builtin set -f
  # Split, and nothing else.
  # shellcheck disable=SC2206
  names=($__nbs_frames)
  for ((i = 0; i < ${#names[@]}; i += 3)); do builtin set -- "$@" "${names[i]}"; done
  builtin shopt -s extdebug
  builtin declare -F "$@"
}

# On the line of the cell, and once more on a line of its own, which is read whatever became of the
# first: after an interrupt bash forgets the rest of a line, after an error of expansion only the
# rest of what is evaluated.
__nbs_done() {
  __nbs_now=$? __nbs_now_flags=$-
  \exec >/dev/null
  if [[ $1 == "$__nbs_reported" ]]; then
    builtin return
  fi
  __nbs_keep_builtin || builtin :
  { builtin set +euxvETk; } 2>/dev/null
  builtin local status flags definitions='' trap=unknown
  status=$__nbs_now flags=${__nbs_flags:-$__nbs_now_flags}
  if [[ ! $__nbs_ran ]]; then
    __nbs_why=syntax
  elif [[ ! $__nbs_why && ! ${2:-} ]]; then
    __nbs_why=interrupt
  elif [[ ! $__nbs_why && ! $__nbs_ended ]]; then
    __nbs_why=expansion
  elif [[ ! $__nbs_why && $__nbs_reached ]]; then
    status=$__nbs_reached
  fi
  case $__nbs_why in
    errexit | exit) status=$__nbs_status ;;
    passed)
      status=$__nbs_passed __nbs_why=${__nbs_ended:-expansion} __nbs_command='' __nbs_frames=''
      __nbs_why=${__nbs_why#1}
      ;;
    '')
      # What was seen last did not fail as the ERR trap has it: `! true`, or `false && true`.
      if [[ $status != "$__nbs_status" || ($__nbs_seen && $__nbs_seen != "$__nbs_last_command") ]]; then
        __nbs_command='' __nbs_frames=''
      fi
      ;;
    *) __nbs_command='' __nbs_frames='' ;;
  esac
  if [[ $__nbs_ran ]]; then __nbs_options=${flags//[^euxvTk]/}; fi
  if [[ $__nbs_int ]]; then builtin eval "builtin $__nbs_int"; fi
  if [[ $__nbs_own_trap ]]; then builtin unset -f trap; fi
  __nbs_put_prompt_away 2>/dev/null || builtin :
  # The cell is put between these.
  if [[ ${BASH_ALIASES[\{]+set}${BASH_ALIASES[\}]+set} ]]; then
    builtin unalias '{' '}' 2>/dev/null || builtin :
  fi
  if [[ $__nbs_frames == *[!0-9$'\036']* ]]; then definitions=$(__nbs_definitions 2>/dev/null) || builtin :; fi
  if [[ $flags == *E* ]]; then trap=; fi
  {
    builtin printf '%s\0' "@$__nbs_nonce done $1 10" "$status" "$__nbs_why" "$__nbs_command" \
      "$__nbs_frames" "$definitions" "$__nbs_base" "$PWD" "$__nbs_options" "${__nbs_debug:+traced}"
    if [[ ! $trap ]]; then builtin trap -p ERR; fi
    builtin printf '%s\0' "$trap"
  } >&62
  __nbs_reported=$1 __nbs_last=$status __nbs_ran='' __nbs_flags='' __nbs_reached='' __nbs_int='' __nbs_own_trap=''
}

builtin readonly -f __nbs_record __nbs_note __nbs_is_stale __nbs_throw __nbs_leave __nbs_err __nbs_stop __nbs_set_err \
  __nbs_adopt_err __nbs_trap __nbs_put_prompt_away __nbs_take_prompt_back __nbs_begin __nbs_end \
  __nbs_keep_builtin __nbs_definitions __nbs_done __nbs_variables __nbs_answer
builtin trap '__nbs_leave' RTMAX
__nbs_set_err
__nbs_record ready 0 "$BASH_VERSION" "$PWD"
