# Fails in buildPhase: a build script looks for OpenSSL with pkg-config, which is not among the inputs.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let
  mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation;

  # As much of each as the build script wants; a real package set has the real ones.
  pkg-config = pkgs.pkg-config or (mkDerivation {
    name = "pkg-config-1.0";
    program = ''
      #!${pkgs.bash}/bin/bash
      IFS=:
      for directory in $PKG_CONFIG_PATH; do
          if [[ -e $directory/''${!#}.pc ]]; then
              sed -n 's/^\(Cflags\|Libs\): //p' "$directory/''${!#}.pc"
              exit
          fi
      done
      echo "Package ''${!#} was not found in the pkg-config search path." >&2
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
  });

  openssl = pkgs.openssl or (mkDerivation {
    name = "openssl-3.0.0";
    buildCommand = ''
      mkdir -p $out/include/openssl $out/lib/pkgconfig
      echo 'unsigned long OpenSSL_version_num(void);' > $out/include/openssl/crypto.h
      echo 'unsigned long OpenSSL_version_num(void) { return 0x30000000L; }' > crypto.c
      gcc -shared -fPIC -Wl,-soname,libcrypto.so.3 -o $out/lib/libcrypto.so.3 crypto.c
      ln -s libcrypto.so.3 $out/lib/libcrypto.so
      printf '%s\n' > $out/lib/pkgconfig/openssl.pc \
          "Name: OpenSSL" "Version: 3.0.0" \
          "Cflags: -I$out/include" "Libs: -L$out/lib -Wl,-rpath,$out/lib -lcrypto"
    '';
  });
in
mkDerivation {
  name = "weather-1.0";
  src = ./weather;
  nativeBuildInputs = if repaired then [ pkg-config ] else [ ];
  buildInputs = [ openssl ];
}
