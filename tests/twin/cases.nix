# What the twin test builds: each runs the probe in place of a builder, which tells all and fails.
# The builder's shell becomes the probe, so that it is the first process, as a command inside is.
{ probe, pkgs ? import ../nix/stdenv.nix { } }:

let
  binary = builtins.path { path = /. + probe; name = "probe"; };
  # The shell stays: ln closes its output before it ends, and Nix kills a builder that has.
  dangling = derivation {
    name = "link";
    inherit (pkgs) system;
    builder = "${pkgs.bash}/bin/bash";
    args = [ "-c" "${pkgs.coreutils}/bin/ln -s /nowhere/at/all $out; exit" ];
  };
  scene = attributes: pkgs.mkDerivation ({
    probe = binary;
    phases = "preparePhase buildPhase";
    preparePhase = "mkdir -p work/inner; cd work; echo text > file; ln -s file link; chmod 600 file";
    buildPhase = ''exec "$probe"'';
    strictDeps = true;
  } // attributes);
in
{
  plain = scene {
    name = "plain-1.0";
    text = "two\nlines\tand 'quotes' \"of\" \\ both $kinds `and` ümlaut !";
    empty = "";
    "a-b" = "no name of a variable";
    passAsFile = [ "long" ];
    long = "a text that comes in a file";
    exportReferencesGraph = [ "graph" pkgs.dash ];
    inherit dangling;
  };
  fixed-output = scene {
    name = "fixed-output-1.0";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = "0000000000000000000000000000000000000000000000000000";
    impureEnvVars = [ "NBS_TWIN_PROXY" "NBS_TWIN_NOT_SET" ];
  };
  structured = scene {
    name = "structured-1.0";
    __structuredAttrs = true;
    list = [ "a b" "c" ];
    set = { key = "value"; };
    number = 3;
    yes = true;
    env = { EXPORTED = "to the builder"; };
  };
  outputs = scene {
    name = "outputs-1.0";
    outputs = [ "out" "dev" "doc" ];
    buildPhase = ''
      mkdir -p "$out/bin"; echo program > "$out/bin/program"; chmod 500 "$out/bin/program"
      ln -s "$out/bin/program" "$out/link"; echo text > "$doc"
      exec "$probe"
    '';
  };
  shell = scene { name = "shell-1.0"; };
  open = scene { name = "open-1.0"; __noChroot = true; };
  narrow = scene { name = "narrow-1.0"; system = "i686-linux"; };
  raw = derivation {
    name = "raw-1.0";
    inherit (pkgs) system dash;
    builder = binary;
    args = [ "one" "two words" ];
    "a-b" = "no name of a variable";
    PATH = "";
    TERM = "not this one";
  };
}
