# Fails with or without a sandbox: it wants a file that no host has. With `sandbox = relaxed` and a
# store that is not diverted, the build sees the host.
# Repair: wanted = "/etc/passwd";
# Inside: phase wanted=/etc/passwd
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "no-chroot-1.0";
  __noChroot = true;
  wanted = if repaired then "/etc/passwd" else "/etc/of-no-host";
  buildCommand = ''
    echo "seen: $(echo /*)"
    cat "$wanted" > found
    echo done > $out
  '';
}
