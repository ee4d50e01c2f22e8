# Fails in buildPhase: with structured attributes `greetings` is an array, and $greetings its first.
# Repair: for greeting in "''${greetings[@]}"
# Inside: phase buildPhase='printf "%s\n" "${greetings[@]}" > greetings; grep -x "good bye" greetings'
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "structured-1.0";
  __structuredAttrs = true;
  outputs = [ "out" "dev" ];
  phases = [ "buildPhase" "installPhase" ];
  env.PLACE = "a value of env, exported";
  greetings = [ "hello world" "good bye" "it's \"quoted\"" ];
  nested = { numbers = [ 1 2 3 ]; deep.deeper = true; };
  number = 42;
  nothing = null;
  makeFlags = [ "A=one two" "B=three" ];
  buildPhase = ''
    for greeting in ${if repaired then "\"\${greetings[@]}\"" else "$greetings"}; do
        echo "$greeting" >> greetings
    done
    grep -x "good bye" greetings
  '';
  installPhase = ''
    cp greetings "$out"
    echo "$PLACE" > "$dev"
  '';
}
