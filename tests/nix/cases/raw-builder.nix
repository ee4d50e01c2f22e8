# Fails without any stdenv: a plain builder that calls a program which is not on its PATH.
# Repair: PATH = "${pkgs.coreutils}/bin";
# Inside: nothing helps, for the inputs have no mkdir. With the whole store: phase PATH=…-coreutils/bin
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

derivation {
  name = "raw-1.0";
  inherit (pkgs) system;
  builder = "${pkgs.bash}/bin/bash";
  args = [ "-ec" "echo begun > begun; mkdir $out; echo done > $out/done" ];
  greeting = "a text\nof two lines";
  PATH = if repaired then "${pkgs.coreutils}/bin" else "/nowhere";
}
