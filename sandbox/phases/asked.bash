# shellcheck shell=bash disable=SC2034
# What the word `phase` was asked, from the arguments of `parent.bash`: the first file of those that the
# build's bash runs.

__nbs_from_words() {
  local fact
  for fact; do printf -v "__nbs_${fact%%=*}" %s "${fact#*=}"; done
}
__nbs_from_words "${@:2:$1}"
shift $(($1 + 1))
__nbs_names=("${@:2:$1}")
shift $(($1 + 1))
__nbs_told=("${@:2:$1}")
shift $(($1 + 1))
__nbs_settings=("${@:2:$1}")
shift $(($1 + 1))
__nbs_here=("$@")
set --
