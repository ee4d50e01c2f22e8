# shellcheck shell=bash
# Run by the build's bash, with the environment that Nix started the build with: what the build's
# builder does, up to where the phase begins, and then the phase. Nothing here is in a function that
# sources or runs what belongs to the build: `declare` would make its variables local.

__nbs_mode=$1 __nbs_report=$2 __nbs_failing=$3 __nbs_env_vars=$4 __nbs_build=$5 __nbs_place=$6
__nbs_from=$7 __nbs_until=$8 __nbs_trace=$9 __nbs_libraries=${10} __nbs_jobs=${11} __nbs_builder=${12}
__nbs_state=${13}
shift 13
__nbs_names=("${@:2:$1}")
shift $(($1 + 1))
__nbs_settings=("${@:2:$1}")
shift $(($1 + 1))
__nbs_here=("$@")
set --
__nbs_what=() __nbs_where='' __nbs_status=0 __nbs_left='' __nbs_began='' __nbs_log=${NIX_LOG_FD-}

__nbs_complain() {
  trap - EXIT ERR
  printf 'error: %s\n\nhint: %s\n%80s\n' "$1" "$3" "($2, 2)" >&2
  builtin exit 2
}

# The file and line of a command, in `__nbs_where`. What a recipe holds in a variable is evaluated, and
# bash counts its lines on from those of the file that evaluates it: such a line is looked for in the
# variables that the phase is made of.
__nbs_locate() {
  local command=${1%%$'\n'*} line=$2 file=$3 function=$4 name text number squeezed base
  local -a lines=()
  __nbs_where=${function:+"in $function"}
  if [[ $file && -f $file && $line -gt 0 ]]; then
    mapfile -t -s $((line - 1)) -n 1 lines <"$file"
    if [[ ${lines[0]-} == *"${command%% *}"* && $(declare -f "$function") == *"$command"* ]]; then
      __nbs_where="$file:$line${function:+, in $function}"
      return
    fi
  fi
  squeezed=${command//[[:space:]]/} base=${curPhase:-${__nbs_began:-buildCommand}} base=${base%Phase}
  for name in "${base}Phase" "$base" "pre${base^}" "post${base^}"; do
    text=${!name-} number=0
    if [[ ! $text ]]; then continue; fi
    mapfile -t lines <<<"$text"
    for text in "${lines[@]}"; do
      number=$((number + 1))
      if [[ ${text//[[:space:]]/} == *"$squeezed"* ]]; then
        __nbs_where="line $number of the variable $name"
        return
      fi
    done
  done
}

# The ERR trap: a command has failed, and the shell ends. A trap that failed itself would make bash 5.2
# complain of its own books (pop_var_context) on the build's stderr. A subshell leaves word for the one
# that it is part of; often that goes on all the same, so nothing is looked up yet.
__nbs_failed() {
  local status=$1 command=$2 line=$3
  if [[ $__nbs_left || $- != *e* ]]; then return 0; fi
  trap - ERR
  set +x
  __nbs_status=$status __nbs_what=("$command" "$line" "${BASH_SOURCE[1]-}" "${FUNCNAME[1]-}")
  if [[ -f $__nbs_report.inner && $command == *[\(\`\|]* ]]; then __nbs_take_inner "$status" "${FUNCNAME[*]}"; fi
  if ((BASH_SUBSHELL)); then
    printf '%s\0' "$status" "$BASH_SUBSHELL ${FUNCNAME[*]}" "${__nbs_what[@]}" >|"$__nbs_report.inner"
  else
    __nbs_locate "${__nbs_what[@]}"
  fi 2>/dev/null
  return 0
}

# What a subshell of the command has left, if this is where it ended: it knows better.
__nbs_take_inner() {
  local -a inner=()
  mapfile -t -d '' inner <"$__nbs_report.inner"
  if [[ ${inner[0]-} == "$1" && ${inner[1]-} == *"${2#* }" ]] && ((${inner[1]%% *} > BASH_SUBSHELL)); then
    __nbs_what=("${inner[@]:2}")
  fi
}

# The EXIT trap, before that of the build. Without `local`: after a failure in what a function evaluates
# bash 5.2 does not know any more that it is in a function.
__nbs_ended() {
  set +x
  if [[ $__nbs_left ]]; then return "$1"; fi
  __nbs_left=1
  if [[ $1 == 0 ]]; then return 0; fi
  if [[ $__nbs_status != "$1" ]]; then
    __nbs_what=() __nbs_where=${FUNCNAME[1]:+"in ${FUNCNAME[1]}"}
    if [[ ${FUNCNAME[1]-} == runPhase ]]; then __nbs_where="in ${__nbs_began:-$__nbs_failing}"; fi
  fi
  {
    printf '%s failed: exit status %s\n' "${__nbs_began:-the set-up}" "$1"
    __nbs_now=0
    while IFS= read -r __nbs_name && ((__nbs_now++ < 8)); do
      printf '  %s\n' "${__nbs_name//[[:cntrl:]]/?}"
    done <<<"${__nbs_what[0]:-"it was left with an exit status"}"
    if [[ $__nbs_where ]]; then printf '  at %s\n' "${__nbs_where//[[:cntrl:]]/?}"; fi
  } >|"$__nbs_report" 2>/dev/null
  if [[ $__nbs_state == noted ]]; then
    printf '%s' "${__nbs_began:-the set-up}" >|"$NIX_BUILD_TOP/.nbs-failed"
  fi 2>/dev/null
  return "$1"
}

trap '__nbs_failed "$?" "$BASH_COMMAND" "$LINENO" || :' ERR
trap '__nbs_ended "$?"' EXIT
set -E

# No trap is told of an `exit`, nor where it stood. A trace shows it anyway.
if [[ ! $__nbs_trace ]]; then
  exit() {
    set -- "$?" "$@"
    if [[ $BASH_SUBSHELL == 0 && ! $__nbs_left ]]; then
      __nbs_what=("exit${2+ $2}" "${BASH_LINENO[0]}" "${BASH_SOURCE[1]-}" "${FUNCNAME[1]-}")
      __nbs_status=${2-$1}
      # Not in the trap, where bash may not know that it is in a function.
      __nbs_locate "${__nbs_what[@]}" 2>/dev/null || :
    fi
    builtin exit "${@:1 + ($# > 1)}"
  }
fi

if [[ ! $__nbs_builder && $__nbs_mode != list && ${__nbs_names[0]-} == builder ]]; then
  __nbs_complain 'nothing tells with what arguments Nix ran the builder' builder-unknown "\`--derivation /nix/store/….drv\` names the derivation that was built"
fi

# As nixpkgs' builders begin. NIX_ATTRS_SH_FILE of an older Nix names a path outside.
# shellcheck disable=SC2034  # setup reads it
noDumpEnvVars=1
if [[ -e ${NIX_ATTRS_SH_FILE-} ]]; then
  # shellcheck disable=SC1090
  source "$NIX_ATTRS_SH_FILE"
elif [[ -f .attrs.sh ]]; then
  # shellcheck disable=SC1091
  source .attrs.sh
fi
__nbs_has_stdenv=''
if [[ ${stdenv-} && -e $stdenv/setup ]]; then
  __nbs_has_stdenv=1
  # shellcheck disable=SC1091
  source "$stdenv/setup"
fi
unset -v noDumpEnvVars

# Whatever the set-up's own trap does, it comes after ours.
__nbs_now=$(trap -p EXIT)
if [[ $__nbs_now != *__nbs_ended* ]]; then
  eval "set -- $__nbs_now"
  # shellcheck disable=SC2064
  trap "__nbs_ended \"\$?\"
${3-}" EXIT
  set --
fi
trap '__nbs_failed "$?" "$BASH_COMMAND" "$LINENO" || :' ERR

# It would wait for somebody to enter the sandbox.
if [[ ${failureHooks[*]-} == *breakpointHook* ]]; then
  for __nbs_name in "${!failureHooks[@]}"; do
    if [[ ${failureHooks[__nbs_name]} == breakpointHook ]]; then unset -v "failureHooks[$__nbs_name]"; fi
  done
fi

# The phases call it when they begin: env-vars stays as it was kept, and what is for Nix's own eyes is
# behind us. Where the directory is kept afterwards, env-vars is written as the build would write it.
__nbs_dump=$(declare -f dumpVars || :)
if [[ $__nbs_dump ]]; then eval "__nbs_$__nbs_dump"; fi
dumpVars() {
  __nbs_began=${curPhase:-$__nbs_began} __nbs_ran=1
  __nbs_write_env_vars
}
__nbs_write_env_vars() {
  if [[ $__nbs_log ]]; then NIX_LOG_FD=$__nbs_log; fi
  if [[ $__nbs_state && $__nbs_dump ]]; then __nbs_dumpVars; fi
}

# What was exported when the failing phase began.
if [[ $__nbs_env_vars && -r $__nbs_env_vars ]]; then
  # shellcheck disable=SC1090
  source "$__nbs_env_vars" 2>/dev/null || :
  __nbs_started=$PWD
else
  if [[ ! $__nbs_state ]]; then export GZIP_NO_TIMESTAMPS=1; fi
  __nbs_started=${sourceRoot:-.}
fi
for __nbs_name in "${__nbs_here[@]}" "${__nbs_settings[@]}"; do export "${__nbs_name?}"; done
if [[ $__nbs_jobs ]]; then
  export NIX_BUILD_CORES=$__nbs_jobs
  if [[ $__nbs_jobs == 1 ]]; then unset -v enableParallelBuilding enableParallelChecking enableParallelInstalling; fi
fi

# The phases of this build, in order.
__nbs_phases=()
if [[ $__nbs_has_stdenv && (${buildCommand-} || -f ${buildCommandPath-}) ]]; then
  __nbs_phases=(buildCommand) __nbs_failing=buildCommand
elif [[ $__nbs_has_stdenv ]]; then
  if declare -F definePhases >/dev/null; then
    definePhases
  elif [[ ! ${phases[*]-} ]]; then
    phases="${prePhases[*]-} unpackPhase patchPhase ${preConfigurePhases[*]-} configurePhase
      ${preBuildPhases[*]-} buildPhase checkPhase ${preInstallPhases[*]-} installPhase
      ${preFixupPhases[*]-} fixupPhase installCheckPhase ${preDistPhases[*]-} distPhase ${postPhases[*]-}"
  fi
  # shellcheck disable=SC2206
  __nbs_phases=(${phases[*]})
fi

# Why a phase is left out, in words; nothing if it is run.
__nbs_why_off() {
  local base=${1%Phase}
  case $1 in
    checkPhase | installCheckPhase | distPhase)
      base=do${base^}
      if [[ ! ${!base-} ]]; then printf '%s is not set' "$base"; fi
      ;;
    unpackPhase | patchPhase | configurePhase | buildPhase | installPhase | fixupPhase)
      base=dont${base^}
      if [[ ${!base-} ]]; then printf '%s is set' "$base"; fi
      ;;
  esac
}

__nbs_kind() {
  if [[ ${!1-} ]]; then
    printf variable
  elif declare -F "$1" >/dev/null; then
    printf function
  else
    printf command
  fi
}

__nbs_list() {
  local name base hook why mark hooks
  for name in "${__nbs_phases[@]}"; do
    mark=' ' hooks='' base=${name%Phase}
    for hook in "pre${base^}" "post${base^}"; do
      if [[ ${!hook-} ]] || declare -F "$hook" >/dev/null; then hooks+="; $hook is a $(__nbs_kind "$hook")"; fi
    done
    why=$(__nbs_why_off "$name")
    if [[ $name == "$__nbs_failing" ]]; then mark='*' hooks+="; failed"; fi
    if [[ $why ]]; then hooks="; left out: $why"; fi
    printf '%s %-20s %s%s\n' "$mark" "$name" "$(__nbs_kind "$name")" "$hooks"
  done
  mark=' '
  if [[ $__nbs_failing == builder ]]; then mark='*'; fi
  printf '%s %-20s %s\n' "$mark" builder "program ${__nbs_builder:-whose arguments are not known: its derivation was not found}"
}

__nbs_index() {
  local number
  for number in "${!__nbs_phases[@]}"; do
    if [[ ${__nbs_phases[number]} == "$1" ]]; then printf '%s' "$number" && return; fi
  done
  return 1
}

__nbs_want_stdenv() {
  if [[ ! $__nbs_has_stdenv ]]; then
    __nbs_complain 'this build has no phases: it does not use stdenv' no-phases "\`phase builder\` runs its builder again"
  fi
}

# The whole name of a phase, in `__nbs_name`: one of those in order, or any that there is.
__nbs_resolve() {
  for __nbs_name in "$1" "$1Phase"; do
    if __nbs_index "$__nbs_name" >/dev/null; then return; fi
    if [[ ! ${2-} && $__nbs_name == *Phase && $(__nbs_kind "$__nbs_name") != command ]]; then return; fi
  done
  __nbs_want_stdenv
  __nbs_complain "this build has no phase \`$1\`" phase-unknown "\`phase --list\` lists them"
}

if [[ $__nbs_mode == list ]]; then
  trap - EXIT ERR
  __nbs_list
  builtin exit
fi
if [[ $__nbs_mode == failing || (! $__nbs_from && $__nbs_until) ]]; then
  if [[ ! $__nbs_failing ]]; then
    __nbs_want_stdenv
    __nbs_complain 'nothing tells which phase failed: there is no log' phase-unclear "\`phase --list\` lists the phases; name one"
  fi
  if [[ $__nbs_mode == failing ]]; then __nbs_names=("$__nbs_failing"); else __nbs_from=$__nbs_failing; fi
fi
for __nbs_name in "${!__nbs_names[@]}"; do
  __nbs_began=$__nbs_name
  __nbs_resolve "${__nbs_names[__nbs_began]}"
  __nbs_names[__nbs_began]=$__nbs_name
done
__nbs_began=''
if [[ $__nbs_from == @first ]]; then
  __nbs_from=${__nbs_phases[0]-} __nbs_until=${__nbs_until:-$__nbs_failing}
  if [[ $__nbs_until == @last ]]; then __nbs_until=${__nbs_phases[-1]-}; fi
fi
# All that comes before the failing phase may be nothing at all.
if [[ $__nbs_until == @before ]]; then
  if [[ ! $__nbs_failing ]]; then
    __nbs_complain 'nothing tells which phase failed: there is no log' phase-unclear "\`--until PHASE\` names the last one to run"
  fi
  __nbs_until=$(__nbs_index "$__nbs_failing" || printf 0)
  __nbs_names=("${__nbs_phases[@]:0:__nbs_until}") __nbs_from=''
fi
# The source as `patches` leave it: what the recipe changes then by itself is not in it.
if [[ $__nbs_until == @patched ]]; then
  __nbs_until=$(__nbs_index patchPhase || __nbs_index unpackPhase || printf -- -1)
  if ((__nbs_until < 0)); then
    __nbs_complain 'this build unpacks no source' no-source "\`nbs replay --until PHASE\` runs the phases that it has"
  fi
  __nbs_names=("${__nbs_phases[@]:0:__nbs_until+1}") __nbs_from=''
  __nbs_now=$(declare -f runHook || :)
  if [[ $__nbs_now ]]; then
    eval "__nbs_$__nbs_now"
    runHook() {
      if [[ $1 == postPatch ]]; then
        __nbs_write_env_vars
        trap - EXIT ERR
        exit 0
      fi
      __nbs_runHook "$@"
    }
  fi
fi
if [[ $__nbs_from ]]; then
  __nbs_resolve "$__nbs_from" ordered
  __nbs_from=$(__nbs_index "$__nbs_name")
  __nbs_resolve "${__nbs_until:-${__nbs_phases[-1]}}" ordered
  __nbs_until=$(__nbs_index "$__nbs_name")
  __nbs_names=("${__nbs_phases[@]:__nbs_from:__nbs_until-__nbs_from+1}")
  if ((__nbs_until < __nbs_from)); then
    __nbs_complain "\`${__nbs_phases[__nbs_until]}\` comes before \`${__nbs_phases[__nbs_from]}\`" option-value "\`phase --list\` shows the order"
  fi
fi

# The set-up ends with an env-vars, but nothing is written before all words are known to be right.
if [[ $__nbs_state ]]; then
  __nbs_write_env_vars
  if [[ ${__nbs_phases[0]-buildCommand} != buildCommand ]]; then export GZIP_NO_TIMESTAMPS=1; fi
fi
# The directory as the build's first phase meets it.
if [[ ${#__nbs_names[@]} -eq 0 ]]; then
  __nbs_write_env_vars
  trap - EXIT ERR
  exit
fi

# Where the phase begins: what comes before the source is unpacked, in the build's directory; the
# rest where the failing phase began.
__nbs_index_of_first=$(__nbs_index "${__nbs_names[0]}" || printf -- -1)
__nbs_index_of_unpack=$(__nbs_index unpackPhase || printf -- -1)
__nbs_index_of_build=$(__nbs_index buildPhase || printf -- -1)
if [[ $__nbs_place ]]; then
  cd -- "$__nbs_place" || exit
elif ((__nbs_index_of_first > __nbs_index_of_unpack || __nbs_index_of_first < 0)); then
  if [[ ! $__nbs_env_vars && $__nbs_started == . ]]; then
    __nbs_directories=(*/)
    if [[ ${#__nbs_directories[@]} -eq 1 ]]; then
      __nbs_started=${__nbs_directories[0]}
      printf '%s\n' "env-vars is not there: ${__nbs_names[0]} begins in $__nbs_started" >&2
    fi
  fi
  cd -- "$__nbs_started" || printf '%s\n' "${__nbs_names[0]} begins in $PWD instead" >&2
elif [[ $PWD != "$NIX_BUILD_TOP" ]]; then
  cd -- "$NIX_BUILD_TOP" || exit
fi
# The one variable that stdenv hands from phase to phase without exporting it.
if ((__nbs_index_of_build >= 0 && __nbs_index_of_first > __nbs_index_of_build)) && [[ ! ${dontBuild-} && ! ${buildPhase-} ]]; then
  if [[ ${makeFlags-} || ${makefile-} || -e Makefile || -e makefile || -e GNUmakefile ]]; then foundMakefile=${foundMakefile-1}; fi
fi

# What a first run has left is in the way of a second one.
__nbs_again=''
for __nbs_name in "${__nbs_names[@]}"; do
  case $__nbs_name in
    unpackPhase | patchPhase | configurePhase | buildCommand) __nbs_again=$__nbs_name ;;
    installPhase) if [[ ${out-} && -e $out ]]; then __nbs_again=$__nbs_name; fi ;;
  esac
done
if [[ $__nbs_again && $__nbs_env_vars ]]; then
  printf '%s\n' "$__nbs_again meets what it left when it ran before; outside, \`nbs phase --clean $__nbs_build $__nbs_again\` begins with nothing; \`phase --clean $__nbs_again\`, inside, in a directory beside" >&2
fi

# What earlier phases set without exporting it is not in env-vars.
__nbs_lost=''
for ((__nbs_now = 0; __nbs_now < __nbs_index_of_first; __nbs_now++)); do
  __nbs_name=${__nbs_phases[__nbs_now]%Phase}
  for __nbs_name in "${__nbs_name}Phase" "pre${__nbs_name^}" "post${__nbs_name^}"; do
    if [[ ${!__nbs_name-} == *FlagsArray* ]]; then __nbs_lost=$__nbs_name; fi
  done
done
if [[ $__nbs_lost ]]; then
  printf '%s\n' "$__nbs_lost sets an array of flags, which is not known here; outside, \`nbs phase --clean $__nbs_build ${__nbs_names[0]}\` has it" >&2
fi

if [[ $__nbs_libraries ]]; then export LD_DEBUG=libs LD_DEBUG_OUTPUT=$__nbs_libraries; fi
if [[ $__nbs_trace ]]; then
  case $__nbs_trace in
    @*) exec {BASH_XTRACEFD}>&"${__nbs_trace#@}" ;;
    *) exec {BASH_XTRACEFD}>>"$__nbs_trace" ;;
  esac
  PS4='+ ${BASH_SOURCE[0]##*/}:$LINENO ${FUNCNAME[0]:+${FUNCNAME[0]}: }'
fi
__nbs_ran=''
if [[ ${__nbs_names[0]} == buildCommand && ${#__nbs_phases[@]} -eq 1 && ${__nbs_phases[0]} == buildCommand ]]; then
  __nbs_began=buildCommand __nbs_ran=1
  if [[ $__nbs_trace ]]; then set -x; fi
  genericBuild
else
  unset -v buildCommand buildCommandPath
  __nbs_now=$(declare -F runPhase || :)
  # Where nothing would put it back it stays, and nothing tells whether the phase was left out.
  __nbs_again=$(declare -f runPhase genericBuild || :)
  for __nbs_name in "${__nbs_names[@]}"; do
    if [[ $__nbs_again == *dumpVars* ]]; then NIX_LOG_FD=; else __nbs_began=$__nbs_name __nbs_ran=1; fi
    if [[ $__nbs_trace ]]; then set -x; fi
    if [[ $__nbs_now ]]; then
      runPhase "$__nbs_name"
    else
      # Nixpkgs of before 2023 cannot run one phase, only all that a variable names.
      phases=$__nbs_name
      genericBuild
    fi
    { set +x; } 2>/dev/null
  done
fi
{ set +x; } 2>/dev/null
__nbs_write_env_vars
trap - EXIT ERR
if [[ ! $__nbs_ran ]]; then
  printf '%s\n' "${__nbs_names[*]} was left out, as the build does: $(__nbs_why_off "${__nbs_names[0]}")" >&2
fi
