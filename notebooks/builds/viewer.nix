# Fails in checkPhase: the program needs a library of the graphics driver, which is in no package: a
# machine has it at /run/opengl-driver/lib, and a sandbox has not.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let
  mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation;

  # What vendors give to link with, in the place of the driver of a machine.
  stubs = mkDerivation {
    name = "driver-stubs-1.0";
    buildCommand = ''
      mkdir -p $out/lib/stubs
      echo 'const char *driver_name(void) { return "none, this is a stub"; }' > driver.c
      gcc -shared -fPIC -Wl,-soname,libdriver.so.1 -o $out/lib/stubs/libdriver.so driver.c
    '';
  };
in
mkDerivation {
  name = "viewer-1.0";
  src = ./viewer;
  stubs = "${stubs}/lib/stubs";
  doCheck = true;
  preCheck = if !repaired then "" else ''
    mkdir drivers
    ln -s "$stubs/libdriver.so" drivers/libdriver.so.1
    export LD_LIBRARY_PATH=$PWD/drivers
  '';
}
