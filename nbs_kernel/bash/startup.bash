# shellcheck shell=bash disable=SC2317  # what is defined here is called by the lines that the driver sends
# Read once by the interactive bash that runs the cells, before its first command line.
#
# Descriptor 0 brings command lines, 62 takes records, and 2 is the controlling terminal until job
# control has been set up, which was before this file is read. A cell sees none of them. A record is a
# head (nonce, kind, number of the cell or question, count of fields) and its fields, each ended by NUL.
#
# All that could be a function of the user's is called through `builtin`, and `builtin` itself is
# looked after at the end of each cell. What a user may have made readonly is never assigned to: names
# of ours begin with __nbs_, those that are local as well, which would take over what is readonly. Where
# the case of a letter counts it is not told by `==`, nor by `case`: `shopt -s nocasematch` turns them.

exec 9<&- >/dev/null 2>&1
builtin set +H +o history
builtin shopt -u checkwinsize
builtin unset -v PS0 PS1 PS2 PROMPT_COMMAND TMOUT HISTFILE MAILCHECK
builtin readonly __nbs_nonce=@NONCE@
__nbs_reported=0 __nbs_last=0 __nbs_options='' __nbs_prompt=() __nbs_user_err='' __nbs_user_exit=''
__nbs_int='' __nbs_ran='' __nbs_ended='' __nbs_why='' __nbs_base=0 __nbs_flags='' __nbs_reached=''
__nbs_own_trap='' __nbs_own_display='' __nbs_disabling='' __nbs_debug='' __nbs_passed='' __nbs_none=''
__nbs_seen='' __nbs_called='' __nbs_fault=() __nbs_noted='' __nbs_status=0 __nbs_ending='' __nbs_tried=()
# The trap that runs: one for an error that ends bash, for an interrupt, for a command that failed; the
# status that it was run with; and how often an interrupt was left to another trap.
__nbs_fatal='' __nbs_halt='' __nbs_erring='' __nbs_leaving='' __nbs_waits=''

__nbs_record() {
  builtin printf '%s\0' "@$__nbs_nonce $1 $2 $(($# - 2))" "${@:3}" >&62
}

# The word `phase` has ended well, called with these words: told with the end of the cell.
__nbs_phase_passed() {
  __nbs_tried+=("$#" "$@")
}

# What failed: the command, the statuses of its parts if it is a pipeline, and its calls, the
# innermost first: names, files, and the line that each was at, with that of the cell at the end.
__nbs_forget() {
  __nbs_command='' __nbs_parts=() __nbs_calls=() __nbs_files=() __nbs_lines=() __nbs_depth=0 __nbs_noted=''
}
__nbs_forget

# Keeps where a command failed: how many of the innermost calls are ours, its status, the command, the
# line, and PIPESTATUS. A failure that only passes on one of the same status in a function it called is
# not kept, nor that of the `eval` that a cell is run with: an error of expansion gets there, and what
# fails in a cell that does not tell its end.
__nbs_note() {
  # In quotes as it is told.
  # shellcheck disable=SC2016
  if [[ ${#FUNCNAME[@]} == "$1" && $3 == '\builtin eval '*'__nbs_begin "$LINENO" "'* ]]; then
    __nbs_passed=$2
    builtin return "$2"
  fi
  if (($# > 4)) && __nbs_is_stale "${@:2:2}" "${@:5}"; then
    __nbs_forget
  elif [[ $2 != "$__nbs_status" || ! $__nbs_command ]] || ! __nbs_passes_on "$@"; then
    __nbs_command=${3:0:10000} __nbs_parts=("${@:5}") __nbs_depth=$((${#FUNCNAME[@]} - $1)) __nbs_noted=''
    __nbs_calls=("${FUNCNAME[@]:$1:60}") __nbs_files=("${BASH_SOURCE[@]:$1:60}")
    __nbs_lines=("$4" "${BASH_LINENO[@]:$1:60}")
    case $3 in
      '(('* | '[['* | %*) __nbs_parts=() ;;
      # The word `phase` ends so. It has said how it was called.
      'builtin return') if [[ $__nbs_called ]]; then __nbs_command=$__nbs_called __nbs_called=''; fi ;;
    esac
  fi
  __nbs_status=$2
  builtin return "$2"
}

# Whether what was kept has failed in a call that this command made.
__nbs_passes_on() {
  builtin local __nbs_ours=$(($1 + 1)) __nbs_inner __nbs_kept __nbs_here
  __nbs_inner=$((__nbs_depth - ${#FUNCNAME[@]} + __nbs_ours))
  if ((__nbs_inner < 0)); then builtin return 1; fi
  if ((__nbs_inner >= 60)); then builtin return 0; fi
  if ((__nbs_inner == 0)) && [[ $3 != "$__nbs_command" && $3 != *eval\ * ]]; then builtin return 1; fi
  builtin printf -v __nbs_kept '%s ' "${__nbs_lines[@]:__nbs_inner}" "${__nbs_calls[@]:__nbs_inner}"
  builtin printf -v __nbs_here '%s ' "$4" "${BASH_LINENO[@]:__nbs_ours:60-__nbs_inner}" \
    "${FUNCNAME[@]:__nbs_ours:60-__nbs_inner}"
  [[ $__nbs_kept == "$__nbs_here" ]]
}

# Whether bash names the command before the one that failed: it does when the files of a compound
# command cannot be opened, which touches neither BASH_COMMAND nor LINENO. Nor does it touch
# PIPESTATUS, which all that fails sets but for `((`, `[[` and the jobs that `%` stands for.
__nbs_is_stale() {
  builtin local __nbs_of=$1 __nbs_part
  # The last of what is run before a cell.
  # shellcheck disable=SC2016
  if [[ $2 == 'builtin return "$__nbs_last"' ]]; then builtin return 0; fi
  if [[ $2 == '(('* || $2 == '[['* || $2 == %* ]]; then builtin return 1; fi
  for __nbs_part in "${@:3}"; do
    if [[ $__nbs_part == "$__nbs_of" ]]; then builtin return 1; fi
  done
}

# A word of ours in which the cell was is told as it was called, and not by what it does.
__nbs_note_call() {
  if [[ ! $__nbs_called || ${__nbs_calls[0]-} != "${__nbs_called%% *}" ]]; then builtin return; fi
  __nbs_command=$__nbs_called
  __nbs_calls=("${__nbs_calls[@]:1}") __nbs_files=("${__nbs_files[@]:1}") __nbs_lines=("${__nbs_lines[@]:1}")
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

# The ERR trap: under `set -e` bash would end after it. What changes nothing of what is kept is known
# when it fails again, as in loops; but words of ours, which say how they were called, all end alike.
__nbs_err() {
  builtin local __nbs_key="|$- ${__nbs_fault[*]} ${BASH_LINENO[*]:1} ${FUNCNAME[*]:1}|"
  if [[ $__nbs_fatal$__nbs_halt ]]; then
    __nbs_place 3
  else
    __nbs_note 2 "${__nbs_fault[@]}" && builtin :
    if ((${#__nbs_noted} > 4000)); then __nbs_noted=; fi
    if [[ ${__nbs_fault[1]} != 'builtin return' ]]; then __nbs_noted+=$__nbs_key; fi
    __nbs_stop
  fi
}

# Before a trap of the user's, in which nothing may end the shell: bash 5.2 loses count of its calls.
__nbs_err_of_the_users() {
  __nbs_note 2 "${__nbs_fault[@]}" && builtin :
  if [[ -o errexit && $BASHPID == "$$" ]]; then
    __nbs_flags=$-
    { builtin set +e; } 2>/dev/null
  fi
  builtin return "${__nbs_fault[0]}"
}

__nbs_stop() {
  if [[ $BASHPID != "$$" ]]; then builtin return; fi
  if [[ $__nbs_halt ]]; then
    __nbs_throw interrupt
  elif [[ -o errexit || ($__nbs_flags && ! ${__nbs_flags##*e*}) ]]; then
    if [[ $__nbs_passed ]]; then __nbs_throw passed; else __nbs_throw errexit; fi
  fi
}

# The first command of the traps for EXIT and for interrupts cannot open its file, and does nothing
# else. So the ERR trap is run there, which alone is told the line of what ran before. Under `set -e`
# bash ends at once where a variable is unset or readonly, or a file to source is not there, and runs
# the EXIT trap before it has left anything: there is a way back.
__nbs_place() {
  if [[ ! $__nbs_ran || $BASHPID != "$$" || ($__nbs_fatal && ! -o errexit) ]]; then builtin return; fi
  __nbs_flags=$-
  { builtin set +euxvTk; } 2>/dev/null
  __nbs_forget
  __nbs_note "$1" "${__nbs_fault[@]:0:3}" && builtin :
  __nbs_note_call
  if [[ $__nbs_fatal ]]; then __nbs_why=${__nbs_halt:-fatal}; else __nbs_throw interrupt; fi
}

# The trap that the driver interrupts with, which no trap of the user's replaces. Bash takes a trap
# for running for ever that is left from within another: the traps for ERR and EXIT throw themselves.
# Which of them is about to begin only the status tells, and one of the user's may not end by itself.
# Under `set -e` nothing may fail here, so that the line of what ran is not to be had.
__nbs_interrupted() {
  if [[ ! $__nbs_ran || $BASHPID != "$$" ]]; then
    __nbs_halt='' __nbs_leaving=''
  elif [[ $__nbs_waits != ... && ($__nbs_erring$__nbs_fatal || -o errtrace && (! -o errexit || $__nbs_leaving != 0)) ]]; then
    __nbs_waits+=.
  else
    __nbs_forget
    __nbs_note 2 "$__nbs_leaving" "$1" 0 && builtin :
    __nbs_note_call
    __nbs_throw interrupt
  fi
}

# The EXIT trap.
__nbs_leave() {
  if [[ $__nbs_why == fatal || $__nbs_why == interrupt ]]; then __nbs_throw "$__nbs_why"; fi
  __nbs_fatal='' __nbs_ending=1
  { __nbs_record leaving 0; } 2>/dev/null
  builtin return "$__nbs_leaving"
}

# Our traps, with the user's in them. Errors count in functions too.
__nbs_set_traps() {
  builtin set -E
  __nbs_err_trap=$__nbs_plain_err_trap __nbs_exit_trap=$__nbs_plain_exit_trap$__nbs_user_exit
  if [[ $__nbs_user_err ]]; then __nbs_err_trap=${__nbs_full_err_trap/@USER@/"$__nbs_user_err"}; fi
  builtin trap -- "$__nbs_err_trap" ERR
  builtin trap -- "$__nbs_exit_trap" EXIT
}

# What is in quotes is for the time when a trap is run. What fails again and again has been noted. Nothing
# of ours is traced, which would be more than all of the user's.
# shellcheck disable=SC2016
builtin readonly \
  __nbs_plain_err_trap='{ __nbs_erring=1 __nbs_fault=("$?" "$BASH_COMMAND" "$LINENO" "${PIPESTATUS[@]}"); case $__nbs_noted in *"|$__nbs_fatal$__nbs_halt$- ${__nbs_fault[*]} ${BASH_LINENO[*]} ${FUNCNAME[*]}|"*) ;; *) __nbs_err; esac; __nbs_erring=; } 2>/dev/null' \
  __nbs_full_err_trap='{ __nbs_erring=1 __nbs_fault=("$?" "$BASH_COMMAND" "$LINENO" "${PIPESTATUS[@]}"); } 2>/dev/null; case $__nbs_fatal$__nbs_halt in "") { __nbs_err_of_the_users && builtin :; } 2>/dev/null; case $__nbs_passed in "")
@USER@
esac; { __nbs_stop; } 2>/dev/null;; *) { __nbs_place 2; } 2>/dev/null; esac; { __nbs_erring=; } 2>/dev/null' \
  __nbs_plain_exit_trap='{ \builtin :; } 2>"/dev/null${__nbs_none/${__nbs_leaving:=$?}${__nbs_fatal:=1}}" <"/dev/null${__nbs_ran:+${BASH_COMMAND##'"'\\builtin eval '*'__nbs_begin \"\$LINENO\" \"'*"'}}"; __nbs_leave && builtin :
' \
  __nbs_interrupt_trap='{ \builtin :; } 2>"/dev/null${__nbs_none/${__nbs_leaving:=$?}${__nbs_halt:=interrupt}}" <"/dev/null${-##*e*}"; { __nbs_interrupted "$BASH_COMMAND"; } 2>/dev/null'

# Takes what `trap -p` said of the user's trap for `err` or `exit`.
__nbs_adopt() {
  builtin eval "builtin set -- $1 $2"
  # In POSIX mode that is how no trap is told.
  if [[ ${4:-} == - ]]; then builtin set -- "$1"; fi
  if [[ $1 == err ]]; then __nbs_user_err=${4:-}; else __nbs_user_exit=${4:-}; fi
}

# Stands in for `trap` in the cells that have to do with ERR or EXIT.
# shellcheck disable=SC2064  # what is in the arguments is the user's
__nbs_trap() {
  if [[ $# == 0 || $1 == -p ]]; then
    __nbs_list_traps "$@"
  elif [[ $BASHPID == "$$" && " ${*^^} " =~ ' '(ERR|0|(SIG)?EXIT)' ' ]]; then
    builtin trap -- "${__nbs_user_err:--}" ERR
    builtin trap -- "${__nbs_user_exit:--}" EXIT
    builtin trap "$@" && builtin :
    builtin set -- "$?"
    __nbs_adopt err "$(builtin trap -p ERR)"
    __nbs_adopt exit "$(builtin trap -p EXIT)"
    __nbs_set_traps
    builtin return "$1"
  else
    # The last command: a DEBUG trap is for what comes after it.
    builtin trap "$@"
  fi
}

# The traps without what is ours.
# shellcheck disable=SC2064
__nbs_list_traps() {
  builtin local __nbs_listed __nbs_quote="'\\''" __nbs_name __nbs_ours __nbs_theirs
  __nbs_listed=$(builtin trap "$@") || builtin return
  for __nbs_name in ERR EXIT RTMAX SIGRTMAX; do
    case $__nbs_name in
      ERR) __nbs_ours=$__nbs_err_trap __nbs_theirs=$__nbs_user_err ;;
      EXIT) __nbs_ours=$__nbs_exit_trap __nbs_theirs=$__nbs_user_exit ;;
      *) __nbs_ours=$__nbs_interrupt_trap __nbs_theirs='' ;;
    esac
    __nbs_ours="trap -- '${__nbs_ours//\'/"$__nbs_quote"}' $__nbs_name"
    if [[ $__nbs_theirs ]]; then
      __nbs_theirs="trap -- '${__nbs_theirs//\'/"$__nbs_quote"}' $__nbs_name"
    else
      __nbs_ours+=$'\n'
    fi
    __nbs_listed=$__nbs_listed$'\n'
    __nbs_listed=${__nbs_listed//"$__nbs_ours"/"$__nbs_theirs"}
    __nbs_listed=${__nbs_listed%$'\n'}
  done
  builtin printf '%s' "${__nbs_listed:+$__nbs_listed$'\n'}"
}

# A cell that exits keeps its shell, and all that it has set.
exit() {
  {
    builtin local "__nbs_before=$?"
    if [[ ${1:-} == -- ]]; then builtin shift; fi
  } 2>/dev/null
  if { [[ $BASHPID != "$$" || $# -gt 1 || $__nbs_ending ]]; } 2>/dev/null; then
    builtin exit "${@:-$__nbs_before}"
    builtin return
  fi
  if { [[ ${1:-} && ! $1 =~ ^[[:space:]]*[-+]?[0-9]+[[:space:]]*$ ]]; } 2>/dev/null; then
    builtin printf '%s\n' "bash: exit: $1: numeric argument required" >&2
    builtin set -- 2
  fi
  {
    __nbs_forget
    __nbs_note 2 "$((${1:-$__nbs_before} & 255))" "exit${1:+ $1}" "${BASH_LINENO[0]}" && builtin :
    __nbs_throw exit
  } 2>/dev/null
}

# What bash would do, or say, before each command line.
__nbs_put_prompt_away() {
  builtin local __nbs_name
  for __nbs_name in PS0 PS1 PS2 TMOUT MAILCHECK; do
    if [[ ${!__nbs_name+set} ]]; then __nbs_prompt+=("$__nbs_name" "${!__nbs_name}"); fi
    builtin unset -v "$__nbs_name"
  done
  if [[ ${PROMPT_COMMAND[*]+set} ]]; then
    for __nbs_name in "${PROMPT_COMMAND[@]}"; do __nbs_prompt+=(PROMPT_COMMAND "$__nbs_name"); done
    builtin unset -v PROMPT_COMMAND
  fi
}

__nbs_take_prompt_back() {
  builtin local __nbs_count=0
  builtin set -- "${__nbs_prompt[@]}"
  while (($#)); do
    if [[ $1 == PROMPT_COMMAND ]]; then
      builtin printf -v "PROMPT_COMMAND[$__nbs_count]" %s "$2"
      __nbs_count=$((__nbs_count + 1))
    else
      builtin printf -v "$1" %s "$2"
    fi
    builtin shift 2
  done
  __nbs_prompt=()
}

# The first command of a cell: its line; flags: "n" for a cell that does not tell its end, "t" for one
# that has to do with traps, "b" for one that may disable built-in commands; and what is to be known of
# the user's traps for ERR and EXIT, "-" that there is none.
__nbs_begin() {
  __nbs_ran=1 __nbs_ended='' __nbs_base=$1 __nbs_why='' __nbs_status=0 __nbs_passed='' __nbs_seen=''
  __nbs_called='' __nbs_noted='' __nbs_halt='' __nbs_fatal='' __nbs_erring='' __nbs_waits='' __nbs_leaving=''
  __nbs_forget
  if [[ $2 == *n* ]]; then __nbs_ended=1; fi
  if [[ $2 == *b* ]]; then __nbs_disabling=1; fi
  if [[ $2 == *t* ]] && ! builtin declare -F trap >/dev/null; then
    __nbs_own_trap=1
    trap() { __nbs_trap "$@"; }
  fi
  if ((${#__nbs_prompt[@]})); then __nbs_take_prompt_back 2>/dev/null; fi
  if [[ ${3:-} ]]; then __nbs_adopt err "$3"; fi
  if [[ ${4:-} ]]; then __nbs_adopt exit "$4"; fi
  __nbs_set_traps
  if [[ ! $__nbs_options ]]; then builtin return "$__nbs_last"; fi
  # Under `set -e` what was before would end the cell; traps and traces of the user's would see this.
  if [[ $__nbs_options == *[eTx]* ]]; then
    { builtin set -"$__nbs_options"; } 2>/dev/null
  else
    { builtin set -"$__nbs_options" && builtin return "$__nbs_last"; } 2>/dev/null
  fi
}

# The last command of a cell.
__nbs_end() {
  __nbs_flags=$-
  builtin set +euxvTk
  __nbs_ended=1 __nbs_reached=$1
}

# What is called here is enabled again, and a function named `builtin` ends with the cell. Only POSIX
# mode, which an assignment turns on, finds `unset` before functions; it changes options.
__nbs_keep_builtin() {
  __nbs_probe=
  builtin printf -v __nbs_probe %s 1
  if [[ $__nbs_probe && ! $__nbs_disabling ]]; then builtin return; fi
  __nbs_probe=:$BASHOPTS: __nbs_posix=:$SHELLOPTS:
  POSIXLY_CORRECT=y
  \unset -f builtin
  if ! builtin : 2>/dev/null; then
    \unset -f enable
    \enable builtin
  fi
  builtin enable : declare enable eval exec exit kill local printf readonly return set shift shopt trap \
    type unalias unset
  if [[ $__nbs_posix != *:posix:* ]]; then \unset -v POSIXLY_CORRECT; fi
  for __nbs_posix in expand_aliases inherit_errexit interactive_comments sourcepath; do
    if [[ $__nbs_probe == *:$__nbs_posix:* ]]; then
      builtin shopt -s "$__nbs_posix"
    else
      builtin shopt -u "$__nbs_posix"
    fi
  done
}

# Where the functions that failed are defined, a line each: name, line and file.
__nbs_definitions() {
  builtin shopt -s extdebug
  builtin declare -F "${__nbs_calls[@]}"
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
  builtin local __nbs_all_parts='' __nbs_all_calls='' __nbs_all_files='' __nbs_all_lines='' __nbs_defined=''
  builtin local __nbs_trap_told=unknown
  __nbs_now_flags=${__nbs_flags:-$__nbs_now_flags}
  if [[ ! $__nbs_ran ]]; then
    __nbs_why=syntax
  elif [[ ! $__nbs_why && ! ${2:-} ]]; then
    # All of the line is dropped: for an interrupt, whose status is above 128, or for an error that
    # bash takes no further, as in `declare -i n=1/0`, which leaves the status from before.
    __nbs_why=interrupt
    if ((__nbs_now < 128)); then __nbs_why=expansion __nbs_now=1; fi
    __nbs_forget
  elif [[ ! $__nbs_why && ! $__nbs_ended ]]; then
    __nbs_why=expansion
  elif [[ ! $__nbs_why && $__nbs_reached ]]; then
    __nbs_now=$__nbs_reached
  fi
  case $__nbs_why in
    errexit | exit | fatal) __nbs_now=$__nbs_status ;;
    interrupt) ;;
    passed)
      __nbs_now=$__nbs_passed __nbs_why=${__nbs_ended:-expansion}
      __nbs_why=${__nbs_why#1}
      __nbs_forget
      ;;
    '')
      # What was seen last did not fail as the ERR trap has it: `! true`, or `false && true`.
      if [[ $__nbs_now != "$__nbs_status" || ($__nbs_seen && $__nbs_seen != "${__nbs_fault[1]-}") ]]; then
        __nbs_forget
      fi
      ;;
    *) __nbs_forget ;;
  esac
  # The group of a pipeline that was being made would be that of the next one, in bash 5.3.
  if [[ $__nbs_why && -o monitor ]]; then
    builtin set +m
    builtin set -m
  fi
  if [[ $__nbs_ran ]]; then __nbs_options=${__nbs_now_flags//[^euxvTk]/}; fi
  if [[ $__nbs_int ]]; then builtin eval "builtin $__nbs_int"; fi
  if [[ $__nbs_own_trap && $(builtin declare -f trap) == *__nbs_trap* ]]; then builtin unset -f trap; fi
  if [[ $__nbs_own_display ]]; then __nbs_forget_display; fi
  __nbs_put_prompt_away 2>/dev/null || builtin :
  # The cell is put between these.
  if [[ ${BASH_ALIASES[\{]+set}${BASH_ALIASES[\}]+set} ]]; then
    builtin unalias '{' '}' 2>/dev/null || builtin :
  fi
  if ((${#__nbs_lines[@]})); then
    builtin printf -v __nbs_all_parts '%s\036' "${__nbs_parts[@]}"
    builtin printf -v __nbs_all_lines '%s\036' "${__nbs_lines[@]}"
  fi
  if ((${#__nbs_calls[@]})); then
    builtin printf -v __nbs_all_calls '%s\036' "${__nbs_calls[@]}"
    builtin printf -v __nbs_all_files '%s\036' "${__nbs_files[@]}"
    __nbs_defined=$(__nbs_definitions 2>/dev/null) || builtin :
  fi
  if [[ ! ${__nbs_now_flags##*E*} ]]; then __nbs_trap_told=; fi
  if ((${#__nbs_tried[@]})); then __nbs_record passed "$1" "${__nbs_tried[@]}"; fi
  __nbs_tried=()
  {
    builtin printf '%s\0' "@$__nbs_nonce done $1 15" "$__nbs_now" "$__nbs_why" "$__nbs_command" \
      "$__nbs_all_parts" "$__nbs_all_calls" "$__nbs_all_files" "$__nbs_all_lines" "$__nbs_defined" \
      "$__nbs_base" "$PWD" "$__nbs_options" "${__nbs_debug:+traced}"
    if [[ ! $__nbs_trap_told ]]; then builtin trap -p ERR; fi
    builtin printf '%s\0' "$__nbs_trap_told"
    builtin trap -p EXIT
    builtin printf '\0'
    if [[ $__nbs_why == expansion || $__nbs_why == fatal ]]; then builtin declare -f; fi
    builtin printf '\0'
  } >&62
  __nbs_reported=$1 __nbs_last=$__nbs_now __nbs_ran='' __nbs_flags='' __nbs_reached='' __nbs_int=''
  __nbs_own_trap='' __nbs_own_display='' __nbs_disabling='' __nbs_halt='' __nbs_fatal='' __nbs_erring=''
  __nbs_waits='' __nbs_leaving=''
}

builtin readonly -f __nbs_record __nbs_phase_passed __nbs_forget __nbs_note __nbs_note_call __nbs_passes_on \
  __nbs_is_stale __nbs_throw __nbs_err __nbs_err_of_the_users __nbs_stop __nbs_place __nbs_interrupted __nbs_leave __nbs_set_traps \
  __nbs_adopt __nbs_trap __nbs_list_traps __nbs_put_prompt_away __nbs_take_prompt_back __nbs_begin \
  __nbs_end __nbs_keep_builtin __nbs_definitions __nbs_done __nbs_variables __nbs_answer
__nbs_adopt err "$(builtin trap -p ERR)"
__nbs_adopt exit "$(builtin trap -p EXIT)"
builtin trap -- "$__nbs_interrupt_trap" RTMAX
__nbs_set_traps
__nbs_record ready 0 "$BASH_VERSION" "$PWD"
