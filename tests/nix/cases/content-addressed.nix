# Fails in buildCommand, with an output whose path only its content will tell.
# Wants experimental-features = ca-derivations.
# Repair: touch letter, before cp
# Inside: rm -rf "$out"; touch letter; phase --failing
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "content-addressed-1.0";
  __contentAddressed = true;
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  buildCommand = ''
    ${if repaired then "touch letter" else ""}
    mkdir -p $out
    echo $out > $out/self
    cp letter $out
  '';
}
