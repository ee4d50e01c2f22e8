# Fails in buildPhase, which the builder's own script defines before it has all phases run.
# Repair: answer = "42";
# Inside: phase builder answer=42
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "own-builder-1.0";
  answer = if repaired then "42" else "41";
  args = [ "-e" (builtins.toFile "builder.sh" ''
    source $stdenv/setup
    right() { [ "$answer" = 42 ]; }
    unpackPhase() { mkdir -p source; cd source; }
    buildPhase() { right || { echo "wrong: $answer"; return 5; }; }
    installPhase() { echo "$answer" > $out; }
    genericBuild
  '') ];
}
