# Fails in configurePhase: ./configure downloads a file, and a sandbox has no network but its loopback.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let
  mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation;
  # For a file of a real server: fetchurl { url = …; hash = …; }
  words = builtins.toFile "words" "servus\nmoin\nhello\n";
in
mkDerivation {
  name = "words-1.0";
  src = ./words;
  postPatch = "patchShebangs configure";
  configureFlags = if repaired then [ "--with-words=${words}" ] else [ ];
}
