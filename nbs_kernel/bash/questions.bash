# shellcheck shell=bash disable=SC2154  # the rest is in startup.bash
# Read before startup.bash, as a part of it: what the driver asks between cells.

# Their names begin with one of these. For each of them bash looks at all there are, and takes a time
# that grows with the square of that: a cell that waits already goes first, and nothing is answered.
__nbs_variables() {
  __nbs_names=()
  for __nbs_letter in a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T \
    U V W X Y Z _; do
    if builtin read -r -t 0; then builtin return 1; fi
    builtin eval "__nbs_names+=(\"\${!$__nbs_letter@}\")"
  done
}

# What the driver asks between cells: its number, the question, and a name. Nothing of the user's is
# run for it, and variables that change when they are looked at are left out.
__nbs_answer() {
  builtin local IFS=$' \t\n' __nbs_name __nbs_letter
  builtin local -a __nbs_names
  case $2 in
    names)
      __nbs_variables || builtin return
      {
        builtin printf '%s\0' "@$__nbs_nonce answer $1 4"
        builtin declare -F
        builtin printf '\0'
        builtin printf '%s\n' "${__nbs_names[@]}"
        builtin printf '\0'
        builtin printf '%s\n' "${!BASH_ALIASES[@]}"
        builtin printf '\0'
        builtin enable
        builtin printf '\0'
      } >&62
      ;;
    environment)
      __nbs_variables || builtin return
      builtin set -- "$1"
      for __nbs_name in "${__nbs_names[@]}"; do
        case $__nbs_name in
          BASH_ENV) ;;
          *RANDOM | BASH* | COMP_* | DIRSTACK | EPOCH* | FUNCNAME | GROUPS | HISTCMD | LINENO | SECONDS) continue ;;
        esac
        if [[ ${!__nbs_name@a} == *x* ]]; then builtin set -- "$@" "$__nbs_name" "${!__nbs_name}"; fi
      done
      __nbs_record answer "$@"
      ;;
    describe)
      {
        builtin printf '%s\0' "@$__nbs_nonce answer $1 6"
        case $3 in
          RANDOM | SRANDOM | *[!A-Za-z0-9_]*) ;;
          *) builtin declare -p -- "$3" ;;
        esac
        builtin printf '\0'
        builtin declare -f -- "$3"
        builtin printf '\0%s\0' "${BASH_ALIASES[$3]-}"
        builtin type -at -- "$3"
        builtin printf '\0'
        builtin type -P -- "$3"
        builtin printf '\0'
        builtin help -- "$3"
        builtin printf '\0'
      } >&62
      ;;
  esac
}
