# Fails in checkPhase: test.sh starts with `#!/usr/bin/env bash`, and a sandbox has no /usr/bin/env.
# Repair: preCheck = "patchShebangs test.sh";
# Inside: phase preCheck="patchShebangs test.sh"
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "hello-1.0";
  src = ../../../sandbox/demo/hello;
  doCheck = true;
  preCheck = if repaired then "patchShebangs test.sh" else "";
}
