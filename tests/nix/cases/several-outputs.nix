# Fails in installPhase, when $out and $dev are partly written and $doc is not begun.
# Repair: echo "say hello" > manual
# Inside: rm -rf "$out" "$dev"; echo "say hello" > manual; phase --failing
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "library-1.0";
  outputs = [ "out" "dev" "doc" ];
  src = ../../../sandbox/demo/hello;
  preBuild = if repaired then ''echo "say hello" > manual'' else "";
  installPhase = ''
    install -D hello $out/bin/hello
    ln -s hello $out/bin/greet
    mkdir -p $out/share/empty $dev/include
    echo "/* see $out */" > $dev/include/hello.h
    cp manual $doc
  '';
}
