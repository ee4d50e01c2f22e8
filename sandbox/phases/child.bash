# shellcheck shell=bash disable=SC2154
# What the build's builder does, up to where the phase begins, and then the phase; behind the files whose
# functions it calls. Nothing here is in a function that sources or runs what belongs to the build:
# `declare` would make its variables local.

set -E
# shellcheck disable=SC2064
trap "$__nbs_on_error" ERR
# shellcheck disable=SC2064
trap "$__nbs_on_exit" EXIT
__nbs_log=${NIX_LOG_FD-} __nbs_has_stdenv=''
if [[ $__nbs_mode == list ]]; then exec {__nbs_stdout}>&1 1>&2; fi
if [[ ! $__nbs_builder && $__nbs_mode != list && ${__nbs_names[0]-} == builder ]]; then
  __nbs_complain 'nothing tells with what arguments Nix ran the builder' builder-unknown 125 "\`--derivation /nix/store/….drv\` names the derivation that was built"
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
# What that file declares again is what the caller says, as the set-up reads it.
__nbs_export "${__nbs_settings[@]}"
if [[ ${stdenv-} && -e $stdenv/setup ]]; then
  __nbs_has_stdenv=1
  # shellcheck disable=SC1091
  source "$stdenv/setup"
fi
unset -v noDumpEnvVars

# What the set-up has added to what the caller says stays added.
for __nbs_number in "${!__nbs_settings[@]}"; do
  __nbs_name=${__nbs_settings[__nbs_number]%%=*} __nbs_word=${__nbs_settings[__nbs_number]#*=}
  if [[ $__nbs_word && ${!__nbs_name-} == *"$__nbs_word"* ]]; then
    __nbs_settings[__nbs_number]=$__nbs_name=${!__nbs_name}
  fi
done

# Whatever the set-up's own trap does, it comes after ours.
__nbs_trap=$(trap -p EXIT)
if [[ $__nbs_trap != *__nbs_ended* ]]; then
  eval "set -- $__nbs_trap"
  # shellcheck disable=SC2064
  trap "$__nbs_on_exit
${3-}" EXIT
  set --
fi
# shellcheck disable=SC2064
trap "$__nbs_on_error" ERR

# It would wait for somebody to enter the sandbox.
if [[ ${failureHooks[*]-} == *breakpointHook* ]]; then
  for __nbs_number in "${!failureHooks[@]}"; do
    if [[ ${failureHooks[__nbs_number]} == breakpointHook ]]; then unset -v "failureHooks[$__nbs_number]"; fi
  done
fi

# The phases call it when they begin: env-vars stays as it was kept, and what is for Nix's own eyes is
# behind us. Where the directory is kept afterwards, env-vars is written as the build would write it.
__nbs_dump=$(declare -f dumpVars || :)
if [[ $__nbs_dump ]]; then eval "__nbs_$__nbs_dump"; fi
dumpVars() {
  __nbs_began=${curPhase:-$__nbs_began} __nbs_ran=1
  __nbs_write_env_vars
  __nbs_show_commands
}
__nbs_write_env_vars() {
  if [[ $__nbs_log ]]; then NIX_LOG_FD=$__nbs_log; fi
  if [[ $__nbs_state && $__nbs_dump ]]; then __nbs_dumpVars; fi
}

# What was exported when the failing phase began, and what the caller says.
__nbs_started=''
if [[ $__nbs_env_vars && -r $__nbs_env_vars ]]; then
  mapfile -t __nbs_unset < <(__nbs_list_unset)
  for __nbs_name in "${__nbs_unset[@]}"; do unset -v "$__nbs_name" 2>/dev/null || :; done
  # shellcheck disable=SC1090
  source "$__nbs_env_vars" 2>/dev/null || :
  __nbs_started=$PWD
elif [[ ! $__nbs_state ]]; then
  export GZIP_NO_TIMESTAMPS=1
fi
__nbs_export "${__nbs_here[@]}" "${__nbs_settings[@]}"
if [[ $__nbs_jobs ]]; then export NIX_BUILD_CORES=$__nbs_jobs; fi

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
if [[ $__nbs_mode == list ]]; then
  trap - EXIT ERR
  __nbs_list >&"$__nbs_stdout"
  builtin exit
fi
__nbs_choose
if [[ $__nbs_failing == builder && $__nbs_has_stdenv && $__nbs_until != @patched ]]; then
  __nbs_say "the builder runs a script of its own, and what that defines is not known here; \`phase builder\` has it"
fi

# What the recipe changes in its source after `patches` is not wanted then.
if [[ $__nbs_until == @patched ]]; then
  __nbs_hook=$(declare -f runHook || :)
  if [[ $__nbs_hook ]]; then
    eval "__nbs_$__nbs_hook"
    runHook() {
      if [[ $1 == postPatch ]]; then
        __nbs_write_env_vars
        trap - EXIT ERR
        builtin exit 0
      fi
      __nbs_runHook "$@"
    }
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
  builtin exit
fi

__nbs_first=$(__nbs_index "${__nbs_names[0]}" || :)
__nbs_restore_told
if [[ $__nbs_jobs == 1 ]]; then unset -v enableParallelBuilding enableParallelChecking enableParallelInstalling; fi
__nbs_begin_there
__nbs_warn_of_remains
__nbs_look_for_lost

# Nixpkgs of before 2023 cannot run one phase, only all that a variable names. Where nothing would call
# `dumpVars`, what is for Nix's own eyes stays, and nothing tells whether the phase was left out.
__nbs_ran='' __nbs_through=''
if [[ $__nbs_libraries ]]; then export LD_DEBUG=libs LD_DEBUG_OUTPUT=$__nbs_libraries; fi
if [[ ${__nbs_names[0]} == buildCommand && ${__nbs_phases[*]} == buildCommand ]]; then
  __nbs_began=buildCommand __nbs_ran=1
  __nbs_show_commands
  genericBuild
  { set +x; } {BASH_XTRACEFD}>/dev/null
  unset -v BASH_XTRACEFD
  __nbs_through=1
else
  unset -v buildCommand buildCommandPath
  __nbs_runs_one=$(declare -F runPhase || :)
  __nbs_machinery=$(declare -f runPhase genericBuild || :)
  for __nbs_name in "${__nbs_names[@]}"; do
    if [[ $__nbs_machinery == *dumpVars* ]]; then
      NIX_LOG_FD=
    else
      __nbs_began=$__nbs_name __nbs_ran=1
      __nbs_show_commands
    fi
    if [[ $__nbs_runs_one ]]; then
      runPhase "$__nbs_name"
    else
      unset -v phases
      phases=$__nbs_name
      genericBuild
    fi
    { set +x; } {BASH_XTRACEFD}>/dev/null
    unset -v BASH_XTRACEFD
  done
  __nbs_through=1
fi
# An error in an expression ends the script of a builder. Of what stands behind `-c`, bash goes on with the
# next command.
if [[ ! $__nbs_through ]]; then builtin exit 1; fi
__nbs_write_env_vars
trap - ERR
# When its last phase has passed, the build ends: with its own trap.
if [[ ${__nbs_names[-1]} != "${__nbs_phases[*]: -1}" ]]; then trap - EXIT; fi
if [[ ! $__nbs_ran ]]; then
  printf '%s\n' "${__nbs_names[*]} was left out, as the build does: $(__nbs_why_off "${__nbs_names[0]}")" >&2
elif __nbs_is_end "${__nbs_names[-1]}"; then
  case " ${__nbs_names[*]} " in
    *' installPhase '* | *' buildCommand '*) : ;;
    *) printf 'no phase before has made that output, or it was not kept' ;;
  esac >|"$__nbs_report.ended"
fi
