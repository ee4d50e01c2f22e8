# Fails in buildCommand, which is in a file, as runCommand has it: a name that is no identifier is in the environment, not among variables.
# Repair: env | grep '^a-b='
# Inside: text=$(<"$buildCommandPath"); phase buildCommand="${text/declare -p a-b/env | grep '^a-b='}"
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "pass-as-file-1.0";
  "a-b" = "a name with a dash";
  "a.b" = "a name with a dot";
  text = "a long text\nin a file\n";
  "odd-text" = "its variable cannot be named either";
  passAsFile = [ "text" "odd-text" "buildCommand" ];
  exportReferencesGraph = [ "bash-graph" pkgs.bash ];
  buildCommand = ''
    cat "$textPath" bash-graph > both
    ${if repaired then "env | grep '^a-b='" else "declare -p a-b"}
    cp both $out
  '';
}
