# Fails in checkPhase: test.sh starts with `#!/usr/bin/env bash`, and a sandbox has no /usr/bin/env.
# `nbs demo` makes the same build where there is no Nix.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation; in
mkDerivation {
  name = "hello-1.0";
  src = ../../sandbox/demo/hello;
  doCheck = true;
  preCheck = if repaired then "patchShebangs test.sh" else "";
}
