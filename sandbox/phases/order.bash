# shellcheck shell=bash disable=SC2154
# The phases of this build in order, `__nbs_phases`, and which of them are to be run, `__nbs_names`.

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
  elif [[ $1 == buildCommand ]]; then
    printf file
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

# Where a phase stands in the order, from 0; -1 and a failure, if it does not.
__nbs_index() {
  local number
  for number in "${!__nbs_phases[@]}"; do
    if [[ ${__nbs_phases[number]} == "$1" ]]; then printf '%s' "$number" && return; fi
  done
  printf -- -1
  return 1
}

# Does the build end with this phase?
__nbs_is_end() {
  local number name
  number=$(__nbs_index "$1") || return
  for name in "${__nbs_phases[@]:number+1}"; do
    if [[ ! $(__nbs_why_off "$name") ]]; then return 1; fi
  done
}

__nbs_want_stdenv() {
  if [[ ! $__nbs_has_stdenv ]]; then
    __nbs_complain 'this build has no phases: it does not use stdenv' no-phases 125 "\`phase builder\` runs its builder again"
  fi
}

__nbs_want_failing() {
  if [[ ! $__nbs_failing ]]; then
    __nbs_want_stdenv
    __nbs_complain 'nothing tells which phase failed: there is no log, or it names none' phase-unclear 2 "$1; \`phase builder\` runs all that Nix ran"
  fi
}

# The whole name of a phase, in `__nbs_name`: one of those in order, or any that there is.
__nbs_resolve() {
  for __nbs_name in "$1" "$1Phase"; do
    if __nbs_index "$__nbs_name" >/dev/null; then return; fi
    # `${!NAME}`, by which the set-up runs a phase as well, fails with any other name.
    if [[ ${2-} || $__nbs_name != [A-Za-z_]*([A-Za-z0-9_])Phase ]]; then continue; fi
    if [[ $(__nbs_kind "$__nbs_name") != command ]]; then return; fi
  done
  __nbs_want_stdenv
  __nbs_complain "this build has no phase \`$1\`" phase-unknown 2 "\`phase --list\` lists them"
}

# What was asked for, by names or as a range, as whole names.
__nbs_choose() {
  local number
  if [[ $__nbs_mode == failing || (! $__nbs_from && $__nbs_until) ]]; then
    __nbs_want_failing "\`phase --list\` lists the phases; name one"
    if [[ $__nbs_mode == failing ]]; then __nbs_names=("$__nbs_failing"); else __nbs_from=$__nbs_failing; fi
  fi
  for number in "${!__nbs_names[@]}"; do
    __nbs_resolve "${__nbs_names[number]}"
    __nbs_names[number]=$__nbs_name
  done
  if [[ $__nbs_from == @first ]]; then
    __nbs_from=${__nbs_phases[0]-} __nbs_until=${__nbs_until:-$__nbs_failing}
  fi
  case $__nbs_until in
    @before) __nbs_choose_before ;;
    @patched) __nbs_choose_patched ;;
    *) if [[ $__nbs_from ]]; then __nbs_choose_range "${__nbs_until/#@last/"${__nbs_phases[-1]-}"}"; fi ;;
  esac
}

# All that comes before the failing phase, which may be nothing at all.
__nbs_choose_before() {
  __nbs_want_failing "\`--until PHASE\` names the last one to run"
  local failing
  failing=$(__nbs_index "$__nbs_failing" || :)
  __nbs_names=("${__nbs_phases[@]:0:failing < 0 ? 0 : failing}")
}

# All that makes the source as `patches` leave it.
__nbs_choose_patched() {
  local last
  last=$(__nbs_index patchPhase) || last=$(__nbs_index unpackPhase) || :
  if ((last < 0)); then
    __nbs_complain 'this build unpacks no source' no-source 125 "\`nbs replay --until PHASE\` runs the phases that it has"
  fi
  __nbs_names=("${__nbs_phases[@]:0:last+1}")
}

__nbs_choose_range() {
  local from until
  __nbs_resolve "$__nbs_from" ordered
  from=$(__nbs_index "$__nbs_name")
  __nbs_resolve "${1:-"${__nbs_phases[-1]}"}" ordered
  until=$(__nbs_index "$__nbs_name")
  if ((until < from)); then
    __nbs_complain "\`${__nbs_phases[until]}\` comes before \`${__nbs_phases[from]}\`" option-value 2 "\`phase --list\` shows the order"
  fi
  __nbs_names=("${__nbs_phases[@]:from:until-from+1}")
}
