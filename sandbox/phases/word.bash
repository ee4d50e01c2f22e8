# shellcheck shell=bash
# The word `phase` of an interactive shell. What belongs to the build is in __nbs_phase_facts, which is
# put before these lines; it sets the variables that are read here.
# shellcheck disable=SC2154

# shellcheck disable=SC2034
phase() {
  # For the kernel, which tells what failed. Another shell is left nothing.
  if [[ ${__nbs_called+set} ]]; then __nbs_called="phase${*:+ $*}"; fi
  (
    builtin trap - DEBUG ERR EXIT RETURN
    __nbs_phase_leave "$@"
  ) || builtin return
  if [[ ${__nbs_called+set} ]]; then __nbs_called=; fi
  if builtin declare -F __nbs_phase_passed >/dev/null && [[ $* == *=* ]]; then __nbs_phase_passed "$@"; fi
}

# Executes `parent.bash` in a fresh bash. Nothing that was set or exported here goes with it, but for
# variables whose names no shell can hold: those can only be inherited.
__nbs_phase_leave() {
  builtin set +efuvxTk +o posix
  builtin shopt -u nocasematch
  builtin local IFS=$' \t\n' __nbs_letter __nbs_name __nbs_rm
  builtin local -a __nbs_names __nbs_here __nbs_more
  __nbs_rm=$(builtin type -P rm)
  for __nbs_letter in {a..z} {A..Z} _; do
    builtin eval "__nbs_more=(\"\${!$__nbs_letter@}\")"
    __nbs_names+=("${__nbs_more[@]}")
  done
  for __nbs_name in "${__nbs_names[@]}"; do
    case $__nbs_name in
      RANDOM | SRANDOM | PWD | OLDPWD | SHLVL | TERM | _ | __nbs_*) ;;
      *) if [[ ${!__nbs_name@a} == *x* ]]; then __nbs_here+=("$__nbs_name=${!__nbs_name}"); fi ;;
    esac
  done
  if [[ " $* " != *' --here '* ]]; then __nbs_here=(); fi
  builtin export -n "${__nbs_names[@]}"
  while builtin read -r _ _ __nbs_name; do
    builtin export -fn "${__nbs_name?}"
  done < <(builtin declare -Fx)
  __nbs_phase_facts
  builtin exec "$__nbs_shell" --noprofile --norc -c "$__nbs_parent" phase \
    "$__nbs_child" "$__nbs_shell" "$__nbs_options" "$__nbs_top" "$__nbs_failing" "$__nbs_env_vars" \
    "$__nbs_build" "$__nbs_outputs" "$__nbs_rm" "$PWD" "${#__nbs_told[@]}" "${__nbs_told[@]}" \
    "${#__nbs_builder[@]}" "${__nbs_builder[@]}" "${#__nbs_environment[@]}" "${__nbs_environment[@]}" \
    "${#__nbs_here[@]}" "${__nbs_here[@]}" "$@"
}
