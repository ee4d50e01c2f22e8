# Fails in buildPhase: a patch to the source leaves out a semicolon.
# Repair: in postPatch, write 'return EXIT_SUCCESS;'
# Inside: sed -i 's/EXIT_SUCCESS$/&;/' hello.c; phase --failing
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "hello-broken-1.0";
  src = ../../../sandbox/demo/hello;
  failureHook = "echo 'the last words of the build'";
  postPatch = ''
    substituteInPlace hello.c \
      --replace-fail '<stdio.h>' $'<stdio.h>\n#include <stdlib.h>' \
      --replace-fail 'return 0;' 'return EXIT_SUCCESS${if repaired then ";" else ""}'
  '';
}
