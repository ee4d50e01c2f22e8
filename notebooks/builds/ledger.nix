# Fails in buildPhase: a header is missing. With it, fails in checkPhase: the test writes to $HOME.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation; in
mkDerivation {
  name = "ledger-1.0";
  src = ./ledger;
  patches = if repaired then [ ./ledger.patch ] else [ ];
  doCheck = true;
}
