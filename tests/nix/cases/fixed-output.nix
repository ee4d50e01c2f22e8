# Fails although it has the host's network: the program that should fetch is not there.
# Repair: fetch() { echo "good morning" > "$2"; }, as postHook
# Inside: phase postHook='fetch() { echo "good morning" > "$2"; }'
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "fetched-1.0.txt";
  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = builtins.hashString "sha256" "good morning\n";
  impureEnvVars = [ "http_proxy" "https_proxy" ];
  url = "http://192.0.2.1/words";
  postHook = if repaired then ''fetch() { echo "good morning" > "$2"; }'' else "";
  buildCommand = ''
    echo "fetching $url"
    fetch "$url" "$out"
  '';
}
