# shellcheck shell=bash disable=SC2154
# What is told of a failure: the command, and where it stands. It is written into a file, which the
# parent shows when the phase has said all that it says.

__nbs_what=() __nbs_where='' __nbs_pipeline='' __nbs_status=0 __nbs_left='' __nbs_began='' __nbs_exits=''

# What is wrong, the way on, and the word and the exit status for programs.
__nbs_complain() {
  trap - EXIT ERR
  printf 'error: %s\n\nhint: %s\n%80s\n' "$1" "$4" "($2, $3)" >&2
  builtin exit "$3"
}

# The place of a command, in `__nbs_where`. What a recipe holds in a variable is evaluated, and bash
# counts its lines on from those of the file that evaluates it: such a line is looked for in the
# variables that the phase is made of.
__nbs_locate() {
  local command=${1%%$'\n'*} line=$2 file=$3 function=$4 name text number squeezed base
  local -a lines=()
  if [[ $file && -f $file && $line -gt 0 ]]; then
    mapfile -t -s $((line - 1)) -n 1 lines <"$file"
    if [[ ${lines[0]-} != *"${command%% *}"* ]]; then
      :
    elif [[ $function == source ]]; then
      __nbs_where="at $file:$line"
      return
    elif [[ $(declare -f "$function") == *"$command"* ]]; then
      __nbs_where="at $file:$line${function:+, in $function}"
      return
    fi
  fi
  squeezed=${command//[[:space:]]/} base=${curPhase:-${__nbs_began:-buildCommand}} base=${base%Phase}
  for name in "${base}Phase" "$base" "pre${base^}" "post${base^}" preHook postHook; do
    text=${!name-} number=0
    if [[ ! $text ]]; then continue; fi
    mapfile -t lines <<<"$text"
    for text in "${lines[@]}"; do
      number=$((number + 1))
      if [[ ${text//[[:space:]]/} == *"$squeezed"* ]]; then
        __nbs_where="at line $number of the variable $name"
        return
      fi
    done
  done
  __nbs_place_in "$file" "$function"
}

# The function alone, where no line is known: one of the build's own, for those of the set-up evaluate
# the texts of others.
__nbs_place_in() {
  __nbs_where=''
  if [[ $2 && $2 != source && $1 != "${stdenv-}/setup" ]]; then __nbs_where="in $2"; fi
}

# The ERR trap: a command has failed, and the shell ends. A trap that failed itself would make bash 5.2
# complain of its own books (pop_var_context) on the build's stderr. A subshell leaves word for the one
# that it is part of; often that goes on all the same, so nothing is looked up yet.
__nbs_failed() {
  if [[ ! $__nbs_left && -o errexit ]]; then
    __nbs_note_failure "$@"
  elif [[ $__nbs_trace && -o xtrace ]]; then
    exec {BASH_XTRACEFD}>&"$__nbs_traced"
  fi
}

__nbs_note_failure() {
  local status=$1 command=$2 line=$3
  trap - ERR
  set +x
  __nbs_pipeline=''
  if [[ $command != @('[['|'((')* ]]; then __nbs_find_earlier_parts "${@:4}"; fi
  __nbs_status=$status
  __nbs_what=("$command" "$line" "${BASH_SOURCE[2]-}" "${FUNCNAME[2]-}" "$__nbs_pipeline")
  if [[ -f $__nbs_report.inner && $command == *[\(\`\|]* ]]; then __nbs_take_inner "$status" "${FUNCNAME[*]:2}"; fi
  if ((BASH_SUBSHELL)); then
    printf '%s\0' "$status" "$BASH_SUBSHELL ${FUNCNAME[*]:2}" "${__nbs_what[@]}" >|"$__nbs_report.inner"
  else
    __nbs_locate "${__nbs_what[@]}"
  fi 2>/dev/null
  return 0
}

# Bash names the last command of a pipeline, which may have ended well. These are the exit statuses of
# all, which `[[` and `((` leave as they were.
__nbs_find_earlier_parts() {
  local IFS=' ' statuses="${*:1:$#-1}"
  if [[ $statuses == *[1-9]* ]]; then __nbs_pipeline="in a pipeline with the exit statuses $*"; fi
}

# What a subshell of the command has left, if this is where it ended: it knows better.
__nbs_take_inner() {
  local -a inner=()
  mapfile -t -d '' inner <"$__nbs_report.inner"
  if [[ ${inner[0]-} == "$1" && ${inner[1]-} == *" $2" ]] && ((${inner[1]%% *} > BASH_SUBSHELL)); then
    __nbs_what=("${inner[@]:2}")
  fi
}

# The EXIT trap, before that of the build, which has to come to its turn: without `set -e`. Without
# `local`: after a failure in what a function evaluates bash 5.2 does not know any more that it is in a
# function.
__nbs_ended() {
  set +ex
  if [[ $__nbs_left ]]; then return "$1"; fi
  __nbs_left=1 __nbs_verdict="failed: exit status $1"
  # With what there is by then, as Nix takes it: the parent looks for the outputs.
  if [[ $1 == 0 ]]; then
    # A signal brings a bash here, too, with the status of the command before.
    if [[ ${__nbs_through-} || ! $__nbs_exits ]] || __nbs_is_end "$__nbs_began"; then return 0; fi
    __nbs_verdict='ended the build with exit status 0, and no phase behind it ran'
    : >|"$__nbs_report.ended"
  fi
  if [[ $__nbs_status != "$1" ]]; then
    __nbs_what=()
    __nbs_place_in "${BASH_SOURCE[1]-}" "${FUNCNAME[1]-}"
  fi
  {
    printf '%s %s\n' "${__nbs_began:-the set-up}" "$__nbs_verdict"
    __nbs_shown=0
    while IFS= read -r __nbs_line && ((__nbs_shown++ < 8)); do
      printf '  %s\n' "${__nbs_line//[[:cntrl:]]/?}"
    done <<<"${__nbs_what[0]:-"it was left with an exit status"}"
    if [[ ${__nbs_what[4]-} ]]; then printf '  %s\n' "${__nbs_what[4]}"; fi
    if [[ $__nbs_where ]]; then printf '  %s\n' "${__nbs_where//[[:cntrl:]]/?}"; fi
  } >|"$__nbs_report" 2>/dev/null
  if [[ $__nbs_state == noted ]]; then
    printf '%s' "${__nbs_began:-the set-up}" >|"$NIX_BUILD_TOP/.nbs-failed"
  fi 2>/dev/null
  return "$1"
}

# No trap is told of an `exit`, nor where it stood. A trace shows it anyway. Without an argument bash
# itself has to be asked, which in a trap takes the status from before the trap.
if [[ ! $__nbs_trace ]]; then
  exit() {
    set -- "$?" "$@"
    if [[ $BASH_SUBSHELL == 0 && ! $__nbs_left ]]; then
      __nbs_what=("exit${2+ $2}" "${BASH_LINENO[0]}" "${BASH_SOURCE[1]-}" "${FUNCNAME[1]-}")
      __nbs_status=${2-$1} __nbs_exits=1
      # Not in the trap, where bash may not know that it is in a function.
      __nbs_locate "${__nbs_what[@]}" 2>/dev/null || :
      # The set-up has put its own trap in the place of ours by then.
      if [[ ! ${__nbs_through+set} ]]; then __nbs_ended "$__nbs_status" || :; fi
    fi
    if (($# > 1)); then builtin exit "${@:2}"; fi
    __nbs_with_status "$1" || builtin exit
    builtin exit
  }
fi

__nbs_with_status() { return "$1"; }

# shellcheck disable=SC2016
__nbs_on_error='__nbs_failed "$?" "$BASH_COMMAND" "$LINENO" "${PIPESTATUS[@]}" || :' __nbs_on_exit='__nbs_ended "$?"'

# A trace shows what the phase does, and nothing of ours. Without `NAME LINE` where a line is one of ours.
if [[ $__nbs_trace ]]; then
  case $__nbs_trace in
    @*) exec {__nbs_traced}>&"${__nbs_trace#@}" ;;
    *) exec {__nbs_traced}>>"$__nbs_trace" ;;
  esac
  __nbs_on_error="{ $__nbs_on_error; } {BASH_XTRACEFD}>/dev/null"
  __nbs_on_exit="{ $__nbs_on_exit; } {BASH_XTRACEFD}>/dev/null"
  PS4='+ ${BASH_SOURCE[0]:+${BASH_SOURCE[0]##*/}:$LINENO }${FUNCNAME[0]:+${FUNCNAME[0]}: }'
fi

__nbs_show_commands() {
  if [[ ! $__nbs_trace ]]; then return; fi
  exec {BASH_XTRACEFD}>&"$__nbs_traced"
  set -x
}
