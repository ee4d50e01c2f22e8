# shellcheck shell=bash
# The texts of phases are read, and nothing of them is run: what they set, what they define, what they
# use. It is reading by eye, a command at a time: it knows no quotes that go over lines, and takes what
# stands in a here-document for commands.

__nbs_assignment="^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)(\[[^]]*\])?([:+]?)=(\"[^\"]*\"|'[^']*'|[^[:space:]\"'])*(.*)\$"
declare -a __nbs_texts
declare -A __nbs_functions __nbs_seen __nbs_sets __nbs_locals __nbs_defines

# The functions that there are, by name, in `__nbs_functions`.
__nbs_read_functions() {
  local line name='' text=''
  local -a lines
  mapfile -t lines < <(declare -f)
  for line in "${lines[@]}"; do
    if [[ ! $name && $line == *' ()'* ]]; then name=${line%% *}; fi
    if [[ $name ]]; then text+=$line$'\n'; fi
    if [[ $name && $line == '}' ]]; then
      if [[ $name != @(__nbs_*|exit|dumpVars) ]]; then __nbs_functions[$name]=$text; fi
      name='' text=''
    fi
  done
}

# What a phase is made of is added to `__nbs_texts`: its variable or function, its hooks, and the
# functions that those call; each function once, `__nbs_seen`.
__nbs_texts_of() {
  local LC_ALL=C IFS=$' \t\n' base=${1%Phase} name list word
  local -a left=()
  local -
  set -f
  for name in "$1" "pre${base^}" "post${base^}"; do
    if [[ $name != [A-Za-z_]*([A-Za-z0-9_]) ]]; then continue; fi
    list="${name}Hooks[@]"
    left+=("${!name-}" ${!list+"${!list}"})
    # Where a phase is a variable, its function counts only if that calls it.
    if [[ $name != "$1" || ! ${!name-} ]]; then left+=("$name"); fi
  done
  while ((${#left[@]})); do
    __nbs_texts+=("${left[0]}")
    for word in ${left[0]//[!A-Za-z0-9_.-]/ }; do
      if [[ ${__nbs_functions[$word]+1} && ! ${__nbs_seen[$word]+1} ]]; then
        __nbs_seen[$word]=1
        left+=("${__nbs_functions[$word]}")
      fi
    done
    left=("${left[@]:1}")
  done
}

# One text, read: names that it sets, in `__nbs_sets` (`=`, `x` if it exports them, `+` if what was there
# before counts as well); names that are its own, in `__nbs_locals`; functions, in `__nbs_defines`.
__nbs_read_text() {
  local LC_ALL=C IFS=$'\n' line command text in_list=''
  local -A sets=() locals=()
  local -
  set -f
  for line in $1; do
    if [[ $in_list || $line =~ ^[[:space:]]*# ]]; then
      if [[ $line == *')'* ]]; then in_list=''; fi
      continue
    fi
    text=${line//()/$'\1'} text=${text//=(/=$'\2'} text=${text//"\${"/$'\n\3'}
    if [[ $text == *$'\2'* && ${text##*$'\2'} != *')'* ]]; then in_list=1; fi
    for command in ${text//[;&|()\{\}\`]/$'\n'}; do __nbs_read_command "$command"; done
  done
  for line in "${!sets[@]}"; do
    if [[ ! ${locals[$line]+1} && ${__nbs_sets[$line]-+} == + ]]; then __nbs_sets[$line]=${sets[$line]}; fi
  done
  for line in "${!locals[@]}"; do __nbs_locals[$line]=1; done
}

__nbs_read_command() {
  local command=$1 first word IFS=$' \t\n'
  while :; do
    command=${command#"${command%%[![:space:]]*}"} first=${command%%[[:space:]]*}
    if [[ $first != @(then|do|else|elif|if|while|until|time|!) ]]; then break; fi
    command=${command#"$first"}
  done
  if [[ $first == function ]]; then
    first=${command#function} first=${first#"${first%%[![:space:]]*}"}
    __nbs_defines[${first%%[[:space:]$'\1']*}]=1
    return
  elif [[ $command == [A-Za-z_]*([A-Za-z0-9_.-])*([[:space:]])$'\1'* ]]; then
    # shellcheck disable=SC2034  # who asks reads it
    __nbs_defines[${first%%$'\1'*}]=1
    return
  fi
  case $command in
    'for '* | 'select '* | 'read '* | 'mapfile '* | 'readarray '* | 'IFS='*' read '*)
      for word in $command; do
        if [[ $word == in ]]; then break; fi
        if [[ $word == [A-Za-z_]*([A-Za-z0-9_]) ]]; then sets[$word]='='; fi
      done
      ;;
    'appendToVar '* | 'prependToVar '*)
      word=${command#* } word=${word%% *}
      if [[ $word == [A-Za-z_]*([A-Za-z0-9_]) ]]; then sets[$word]=${sets[$word]-+}; fi
      ;;
    'export '*) __nbs_read_assignments "${command#* }" x ;;
    'readonly '*) __nbs_read_assignments "${command#* }" readonly ;;
    'local '* | 'declare '* | 'typeset '*)
      if [[ $command == *\ -*([A-Za-z])g* ]]; then
        __nbs_read_assignments "${command#* -* }" declare
      else
        for word in $command; do
          word=${word%%[!A-Za-z0-9_]*}
          if [[ $word ]]; then locals[$word]=1; fi
        done
      fi
      ;;
    [A-Za-z_]*=*) __nbs_read_assignments "$command" '=' ;;
    # A default in an expansion.
    $'\3'*=*) __nbs_read_assignments "${command#?}" '+' ;;
  esac
}

# Assignments, and how: `x` behind `export`, `+` for a default, `=` for a command by itself. If another
# follows that one, they are for it alone.
__nbs_read_assignments() {
  local rest=$1 how=$2 name
  local -a names=()
  while [[ $rest =~ $__nbs_assignment ]]; do
    names+=("${BASH_REMATCH[3]}${BASH_REMATCH[1]}")
    # The rest is a list's.
    if [[ ${rest#*=} == $'\2'* ]]; then rest='' && break; fi
    rest=${BASH_REMATCH[5]}
  done
  if [[ $how == '=' && $rest == *([[:space:]])[![:space:]\"\'\#\<\>]* ]]; then return; fi
  for name in "${names[@]}"; do
    case $how$name in
      +* | *[:+]*) sets[${name#[:+]}]=${sets[${name#[:+]}]-+} ;;
      x*) sets[$name]=x ;;
      *) sets[$name]='=' ;;
    esac
  done
}

# Is the value of a name asked for in a text? By its bare name, too, where it is one of flags: functions
# of stdenv take such names.
__nbs_text_reads() {
  local LC_ALL=C bare
  if [[ $1 != *"$2"* ]]; then return 1; fi
  bare="\\\$\\{?[#!]?$2([^A-Za-z0-9_]|\$)"
  if [[ $2 == *@(Flags|FlagsArray) ]]; then bare="(^|[^A-Za-z0-9_])$2([^A-Za-z0-9_=+]|\$)"; fi
  [[ $1 =~ $bare ]]
}

# Is a function called in it?
__nbs_text_calls() {
  local LC_ALL=C before=$'(^|[\n;&|(){`!]|(^|[[:space:]])(then|do|else|elif|if|while|until|time)[[:space:]])[[:space:]]*'
  [[ $1 == *"$2"* && $1 =~ $before${2//./\\.}([[:space:]\;\&\|\)\`]|$) ]]
}
