# Fails in buildCommand, which has no phases, in a directory that it made itself.
# Repair: mkdir -p work/letters
# Inside: phase buildCommand="${buildCommand/work/work/letters}"
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "build-command-1.0";
  buildCommand = ''
    mkdir -p work${if repaired then "/letters" else ""}
    cd work
    export LATER="set when env-vars was already written"
    echo a > letters/a
    cp -r letters $out
  '';
}
