# Fails in checkPhase, which goes by what earlier phases have set and not exported: where the source is,
# beside another directory, and that things may be done at once, as the hooks of CMake and Meson say.
# Repair: preCheck = "patchShebangs test.sh";
# Inside: phase preCheck="patchShebangs test.sh"
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "handed-on-1.0";
  src = ../../../sandbox/demo/hello;
  doCheck = true;
  postConfigure = ''
    if ! [[ -v enableParallelBuilding ]]; then
        enableParallelBuilding=1
        echo "configure: enabled parallel building"
    fi
  '';
  preBuild = "mkdir ../vendor";
  preCheck = ''
    echo "the source:" "$NIX_BUILD_TOP/$sourceRoot"/*
    ${if repaired then "patchShebangs test.sh" else ""}
  '';
}
