# Fails in configurePhase: ./configure wants pkg-config, which is not among the inputs.
# Repair: nativeBuildInputs = [ pkg-config ];
# Inside: mkdir bin; printf '%s\n' "#!$SHELL" 'echo -I$buildInputs/include/greeting' > bin/pkg-config; chmod +x bin/pkg-config; phase PATH="$PWD/bin:$PATH"
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

let
  # As much of pkg-config as the project wants, with a hook as the real one has.
  pkg-config = pkgs.mkDerivation {
    name = "pkg-config-1.0";
    program = ''
      #!${pkgs.bash}/bin/bash
      IFS=:
      for directory in $PKG_CONFIG_PATH; do
          if [[ -e $directory/$2.pc ]]; then exec sed -n 's/^Cflags: //p' "$directory/$2.pc"; fi
      done
      exit 1
    '';
    hook = ''
      addPkgConfigPath() { addToSearchPath PKG_CONFIG_PATH "$1/lib/pkgconfig"; }
      addEnvHooks "$targetOffset" addPkgConfigPath
    '';
    passAsFile = [ "program" "hook" ];
    buildCommand = ''
      install -D -m 755 "$programPath" $out/bin/pkg-config
      install -D "$hookPath" $out/nix-support/setup-hook
    '';
  };

  greeting = pkgs.mkDerivation {
    name = "greeting-1.0";
    buildCommand = ''
      mkdir -p $out/include/greeting $out/lib/pkgconfig
      echo '#define GREETING "good morning"' > $out/include/greeting/greeting.h
      echo "Cflags: -I$out/include/greeting" > $out/lib/pkgconfig/greeting.pc
    '';
  };
in
pkgs.mkDerivation {
  name = "greeter-1.0";
  src = ./greeter;
  nativeBuildInputs = if repaired then [ pkg-config ] else [ ];
  buildInputs = [ greeting ];
  postPatch = "patchShebangs configure";
}
