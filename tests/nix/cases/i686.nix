# Fails in buildCommand: a build for i686-linux is told that the machine is one.
# Repair: expected = "i686";
# Inside: phase expected=i686
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "i686-1.0";
  system = "i686-linux";
  expected = if repaired then "i686" else "x86_64";
  buildCommand = ''
    machine=$(uname -m)
    echo "machine: $machine"
    [[ $machine == "$expected" ]]
    echo "$machine" > $out
  '';
}
