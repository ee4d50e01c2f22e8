# Fails in checkPhase, which calls functions that buildPhase has defined, as builds of Go modules do.
# Repair: tests = "a";
# Inside: phase --clean check tests=a
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "functions-1.0";
  dontUnpack = true;
  doCheck = true;
  tests = if repaired then "a" else "a b";
  buildPhase = ''
    listPackages() { echo "$tests"; }
    function runPackage {
        echo "testing $1"
        [[ $1 == a ]]
    }
    for package in $(listPackages); do echo "building $package"; done
  '';
  checkPhase = ''
    for package in $(listPackages); do runPackage "$package"; done
  '';
  installPhase = "echo done > $out";
}
