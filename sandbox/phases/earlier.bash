# shellcheck shell=bash disable=SC2154
# A build runs all its phases in one bash. What the phases before the first one that is run have left
# there is restored where it is known, and told where it is not. `__nbs_first` is that phase's place in
# the order, -1 for one that is not in it.

declare -A __nbs_restored=([foundMakefile]=1)

__nbs_say() { printf '%s\n' "$*" >&2; }

# What is exported here, by Nix or the set-up, and was not any more when the failing phase began: a phase
# had unset it. bash itself tells what env-vars exports; of one that was cut short, nothing. Run in a
# subshell. The bash of many builds has no `compgen`.
__nbs_list_unset() {
  local __nbs_letter __nbs_name __nbs_text
  local -a __nbs_names=() __nbs_exported=()
  for __nbs_letter in {a..z} {A..Z} _; do eval "__nbs_names+=(\"\${!$__nbs_letter@}\")"; done
  for __nbs_name in "${__nbs_names[@]}"; do
    if __nbs_is_exported "$__nbs_name"; then __nbs_exported+=("$__nbs_name"); fi
  done
  export -n "${__nbs_exported[@]}"
  IFS= read -r -d '' __nbs_text <"$__nbs_env_vars" || :
  if [[ $__nbs_text != *$'\n' ]] || ! eval "$__nbs_text" &>/dev/null; then return; fi
  if ! __nbs_is_exported NIX_BUILD_TOP; then return; fi
  for __nbs_name in "${__nbs_exported[@]}"; do
    # These are bash's own.
    if [[ $__nbs_name == @(_|PWD|OLDPWD|SHLVL) ]]; then continue; fi
    if ! __nbs_is_exported "$__nbs_name"; then printf '%s\n' "$__nbs_name"; fi
  done
}

__nbs_is_exported() { [[ -v $1 && ${!1@a} == *x* ]]; }

# Words of the form NAME=VALUE, in the place of whatever has the name. `export` of what is a list would
# set its first element.
__nbs_export() {
  local __nbs_word
  for __nbs_word; do
    # A file in its place goes before it.
    if [[ $__nbs_word == buildCommand=* ]]; then unset -v buildCommandPath; fi
    unset -v "${__nbs_word%%=*}" 2>/dev/null || :
    export "${__nbs_word?}"
  done
}

# Has the phase run before the first one, as far as is known?
__nbs_came_before() {
  local index
  index=$(__nbs_index "$1") && ((index < __nbs_first || __nbs_first < 0)) && [[ ! $(__nbs_why_off "$1") ]]
}

# What a phase sets without exporting it: words of the form PHASE:NAME=VALUE, as the log tells them, and
# `foundMakefile`, which stdenv hands from buildPhase to those that test.
__nbs_restore_told() {
  local told name value
  for told in "${__nbs_told[@]}"; do
    name=${told#*:} name=${name%%=*} value=${told#*=}
    if [[ $name == PWD ]] || ! __nbs_came_before "${told%%:*}"; then continue; fi
    if [[ $name == sourceRoot && ${postUnpack-} == *sourceRoot*=* ]]; then
      # It was told before; mostly a directory is added to it then.
      if [[ ! $postUnpack =~ ^[[:space:]]*(export[[:space:]]+)?sourceRoot(\+=|=\"?\$\{?sourceRoot\}?)\"?(/[A-Za-z0-9._/-]+)\"?[[:space:]]*($|;|$'\n') ]]; then continue; fi
      value+=${BASH_REMATCH[3]}
    fi
    if [[ ! -v $name ]]; then printf -v "$name" %s "$value"; fi
    if [[ ${!name} == "$value" ]]; then __nbs_restored[$name]=1; fi
  done
}

# The phase's directory: before the source is unpacked, the build's own; then where the failing phase
# began, as env-vars has it.
__nbs_begin_there() {
  local unpacked gone='is gone' before=${OLDPWD-}
  unpacked=$(__nbs_index unpackPhase || :)
  if [[ $__nbs_place ]]; then
    cd -- "$__nbs_place" || builtin exit
  elif ((__nbs_first == 0 || (__nbs_first > 0 && __nbs_first <= unpacked))); then
    # Not if one is there: OLDPWD would be another than the build's.
    if [[ $PWD != "$NIX_BUILD_TOP" ]]; then cd -- "$NIX_BUILD_TOP" || builtin exit; fi
  elif [[ $__nbs_started ]]; then
    # env-vars has set PWD and OLDPWD, and no directory.
    if cd -- "$__nbs_started" 2>/dev/null; then
      if [[ $before ]]; then OLDPWD=$before; else unset -v OLDPWD; fi
    else
      cd -- "$NIX_BUILD_TOP" || builtin exit
      if [[ -e $__nbs_started ]]; then gone='cannot be entered'; fi
      __nbs_say "$__nbs_started $gone: ${__nbs_names[0]} begins in $PWD instead"
    fi
  else
    if [[ $PWD != "$NIX_BUILD_TOP" ]]; then cd -- "$NIX_BUILD_TOP" || builtin exit; fi
    __nbs_guess_directory
  fi
  if __nbs_came_before buildPhase && [[ ! ${buildPhase-} ]]; then
    if [[ ${makeFlags-} || ${makefile-} || -e Makefile || -e makefile || -e GNUmakefile ]]; then
      foundMakefile=${foundMakefile-1}
    fi
  fi
}

# Without env-vars: where an earlier phase has led, as the log tells, or the one directory that there is.
# `__nbs_led_by` is the phase that has, the last one of which that is known.
__nbs_guess_directory() {
  local told there='' name=${__nbs_names[0]}
  local -a directories=(*/)
  __nbs_led_by=''
  if ! __nbs_came_before unpackPhase; then return; fi
  if [[ ${#directories[@]} -eq 1 ]]; then there=${directories[0]}; fi
  if [[ ${sourceRoot-} ]]; then there=$sourceRoot __nbs_led_by=unpackPhase; fi
  for told in "${__nbs_told[@]}"; do
    if [[ $told == *:PWD=* ]] && __nbs_came_before "${told%%:*}"; then
      there=${told#*=} __nbs_led_by=${told%%:*}
    fi
  done
  if [[ $there ]] && cd -- "$there" 2>/dev/null; then
    __nbs_say "env-vars is not there: $name begins in $there"
  else
    __nbs_say "env-vars is not there, and nothing tells where $name began: it begins in $PWD; inside, \`phase --here\` begins where you are"
  fi
}

# What a first run has left is in the way of a second one: the first phase that meets it is named.
__nbs_warn_of_remains() {
  local name
  if [[ ! $__nbs_env_vars ]]; then return; fi
  for name in "${__nbs_names[@]}"; do
    case $name in
      unpackPhase | patchPhase | configurePhase | buildCommand) ;;
      installPhase) if [[ ! ${out-} || ! -e $out ]]; then continue; fi ;;
      *) continue ;;
    esac
    if [[ $(__nbs_why_off "$name") ]]; then continue; fi
    __nbs_say "$name meets what it left when it ran before; $(__nbs_clean_ways 'begins with nothing')"
    return
  done
}

# All up to the last of the phases that were asked for, from nothing.
__nbs_clean_ways() {
  local name number last=-1 until=${__nbs_names[0]}
  for name in "${__nbs_names[@]}"; do
    number=$(__nbs_index "$name" || :)
    if ((number > last)); then last=$number until=$name; fi
  done
  # shellcheck disable=SC2016
  printf 'outside, `nbs phase --clean %s %s` %s; `phase --clean %s`, inside, in a directory beside' \
    "$__nbs_build" "$until" "$1" "$until"
}

# What earlier phases set or define that the phases to be run use, and that is not known here. Without a
# function a phase would do something else, and could even pass: it is not begun.
__nbs_look_for_lost() {
  if ((__nbs_first == 0)); then return; fi
  local phase name text run=''
  local -a lost=()
  local -A own=()
  __nbs_read_functions
  __nbs_read_phase "${__nbs_names[@]}"
  for text in "${__nbs_texts[@]}"; do run+=$text$'\n'; done
  for name in "${!__nbs_locals[@]}" "${!__nbs_defines[@]}"; do own[$name]=1; done
  for name in "${!__nbs_sets[@]}"; do
    if [[ ${__nbs_sets[$name]} != + ]]; then own[$name]=1; fi
  done
  __nbs_seen=()
  for phase in "${__nbs_phases[@]}"; do
    if [[ $phase == "${__nbs_names[0]}" || ($__nbs_first == -1 && $phase == "$__nbs_failing") ]]; then break; fi
    if [[ $(__nbs_why_off "$phase") ]]; then continue; fi
    __nbs_read_phase "$phase"
    __nbs_find_lost "$phase"
    __nbs_warn_of_directory "$phase"
  done
  if ((${#lost[@]})); then
    printf -v text ', %s' "${lost[@]}"
    __nbs_say "not known here: ${text#, }; $(__nbs_clean_ways 'has it')"
  fi
}

# The texts of phases, read anew.
__nbs_read_phase() {
  local phase text
  __nbs_texts=() __nbs_sets=() __nbs_locals=() __nbs_defines=()
  for phase; do __nbs_texts_of "$phase"; done
  for text in "${__nbs_texts[@]}"; do __nbs_read_text "$text"; done
}

# What the phase that was just read has left that `run` uses, unless that is its `own`.
__nbs_find_lost() {
  local name
  for name in "${!__nbs_defines[@]}"; do
    if [[ ! ${own[$name]+1}${__nbs_functions[$name]+1} ]] && __nbs_text_calls "$run" "$name"; then
      __nbs_complain "\`$name\` is a function that $1 defines, and is not known here" functions-unknown 125 "$(__nbs_clean_ways 'has it')"
    fi
  done
  for name in "${!__nbs_sets[@]}"; do
    if [[ ! ${own[$name]+1} ]] && __nbs_is_lost "$name"; then lost+=("$name (of $1)"); fi
  done
}

# Nothing tells where one is after a `cd`, unless it came before the phase of which that is known.
__nbs_warn_of_directory() {
  local text
  printf -v text '%s\n' "${__nbs_texts[@]}"
  if [[ ${__nbs_led_by-@known} == "$1" ]]; then
    __nbs_led_by=''
  elif [[ ! ${__nbs_led_by-@known} && $text =~ (^|$'\n'|;)[[:space:]]*cd[[:space:]] ]]; then
    __nbs_say "$1 changes the directory, and nothing tells to which; inside, \`phase --here\` begins where you are"
  fi
}

# Is a variable that an earlier phase sets not what it was? What is exported is in env-vars.
__nbs_is_lost() {
  local attributes=''
  if [[ -v $1 ]]; then attributes=${!1@a}; fi
  if [[ ${__nbs_restored[$1]+1} ]]; then return 1; fi
  if [[ $__nbs_env_vars ]]; then
    [[ $attributes != *x* ]] && __nbs_text_reads "$run" "$1"
  else
    [[ ${__nbs_sets[$1]} == x ]] || __nbs_text_reads "$run" "$1"
  fi
}
