# bash looks for the completion of a command in a file of its name; that of both is in one.
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/nbs"
