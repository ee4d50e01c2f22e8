# shellcheck shell=bash
# The first argument of every build: bash -e source-stdenv.sh BUILDER.
if [ -e "${NIX_ATTRS_SH_FILE-}" ]; then
    # shellcheck disable=SC1090
    . "$NIX_ATTRS_SH_FILE"
elif [ -f .attrs.sh ]; then
    # shellcheck disable=SC1091
    . ./.attrs.sh
fi
# shellcheck disable=SC1091,SC2154
source "$stdenv/setup"
# shellcheck disable=SC1090
source "$1"
