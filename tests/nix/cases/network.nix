# Fails in a phase of its own: a download, and a sandbox has no network but its loopback.
# Repair: words = builtins.toFile "words" "good morning\n"; the download is then skipped.
# Inside: echo "good morning" > /build/morning; phase words=/build/morning
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "words-1.0";
  dontUnpack = true;
  words = if repaired then builtins.toFile "words" "good morning\n" else "";
  preBuildPhases = [ "downloadPhase" ];
  downloadPhase = ''
    if [[ -n $words ]]; then
        cp "$words" words
    else
        echo "downloading http://192.0.2.1/words"
        exec 3<> /dev/tcp/192.0.2.1/80
        printf 'GET /words HTTP/1.0\r\n\r\n' >&3
        cat <&3 > words
    fi
  '';
  installPhase = "cp words $out";
}
