# Packages for the tests, made of the host's programs: no network, no binary cache, no nixpkgs.
#
# Their builder is the host's Python. It runs without a sandbox, or in one that shows /usr. Which
# of the two is not part of a derivation, so the store paths are the same.
# `older` is the set-up of a nixpkgs before 2023, as far as phases go.
{ system ? builtins.currentSystem, older ? false }:

let
  demo = ../../sandbox/demo;
  recipe = demo + "/recipe.py";
  setup =
    if older then
      builtins.toFile "setup.sh" (builtins.readFile (demo + "/setup.sh") + builtins.readFile ./older.sh)
    else demo + "/setup.sh";
  setting = name: default:
    let value = builtins.getEnv name; in if value == "" then default else value;
  patchelf = setting "NBS_RECIPE_PATCHELF" "";

  component = name: needs: extra: derivation {
    inherit name system;
    builder = setting "NBS_RECIPE_PYTHON" "/usr/bin/python3";
    PATCHELF = if patchelf == "" then "" else "${/. + patchelf}";
    args = [ "${recipe}" name (builtins.placeholder "out") ]
      ++ map (need: "${need}=${packages.${need}}") needs
      ++ extra;
  };

  program = name: component name [ "host-libs" "bash" ] [ ];
  programs = [
    "dash" "coreutils" "findutils" "diffutils" "gnused" "gnugrep" "gawk" "gnutar" "gzip" "bzip2"
    "xz" "gnumake" "gnupatch" "binutils" "iproute2" "inetutils" "util-linux" "strace"
  ];
  initialPath = [
    "coreutils" "findutils" "diffutils" "gnused" "gnugrep" "gawk" "gnutar" "gzip" "bzip2" "gnumake"
    "bash" "gnupatch" "xz"
  ];

  packages = builtins.listToAttrs (map (name: { inherit name; value = program name; }) programs) // {
    host-libs = component "host-libs" [ ] [ ];
    bash = component "bash" [ "host-libs" ] [ ];
    libc-dev = component "libc-dev" [ "host-libs" ] [ ];
    gcc-unwrapped = component "gcc-unwrapped" [ "bash" "host-libs" ] [ ];
    gcc = component "gcc" [ "bash" "binutils" "gcc-unwrapped" "host-libs" "libc-dev" ] [ ];
    stdenv = component "stdenv" (initialPath ++ [ "gcc" "binutils" ]) [ "setup=${setup}" ];
  };

  # What nixpkgs' mkDerivation hands to `derivation`, as far as a build can see it.
  mkDerivation = attributes:
    let
      structured = attributes.__structuredAttrs or false;
      environment = attributes.env or { };
    in
    derivation ({
      inherit system;
      inherit (packages) stdenv;
      builder = "${packages.bash}/bin/bash";
      args = [ "-e" (demo + "/source-stdenv.sh") (demo + "/default-builder.sh") ];
      outputs = [ "out" ];
      strictDeps = false;
      nativeBuildInputs = [ ];
      buildInputs = [ ];
      propagatedNativeBuildInputs = [ ];
      propagatedBuildInputs = [ ];
      configureFlags = [ ];
      patches = [ ];
      doCheck = false;
      doInstallCheck = false;
    } // (if structured then attributes else removeAttrs attributes [ "env" ] // environment));
in
packages // {
  inherit mkDerivation system;
  all = builtins.attrValues packages;
}
