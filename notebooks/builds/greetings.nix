# Fails in buildPhase: with structured attributes a list is an array, and $greetings its first element.
{ pkgs ? import ../../tests/nix/stdenv.nix { }, repaired ? false }:

let mkDerivation = pkgs.stdenv.mkDerivation or pkgs.mkDerivation; in
mkDerivation {
  name = "greetings-1.0";
  __structuredAttrs = true;
  dontUnpack = true;
  greetings = [ "hello" "moin" "servus" ];
  speakers = { hello = 1500000000; moin = 5000000; servus = 15000000; };
  env.GREETER = "who greets";
  buildPhase = ''
    : > greetings.txt
    for greeting in ${if repaired then "\"\${greetings[@]}\"" else "$greetings"}; do
        echo "$greeting, world" >> greetings.txt
    done
    echo "$(wc -l < greetings.txt) of 3 greetings are written"
    [[ $(wc -l < greetings.txt) == 3 ]]
  '';
  installPhase = ''
    cp greetings.txt "$out"
  '';
}
