# A stand-in for nixpkgs: packages are built with the host's Python and its hatchling.
#
# It checks what real nixpkgs would refuse too: an argument that is not known, or of the wrong kind.
{ system ? builtins.currentSystem }:

let
  lib = import ./lib.nix;
  hostPython = builtins.getEnv "NBS_STUB_PYTHON";
  interpreter = if hostPython == "" then "/usr/bin/python3" else hostPython;

  library = name: derivation {
    inherit name system;
    builder = "/bin/sh";
    args = [ "-c" "echo > $out" ];
  };

  buildPythonApplication =
    { pname
    , version
    , pyproject
    , src
    , build-system
    , dependencies
    , nativeBuildInputs
    , doCheck
    , pythonImportsCheck
    , postFixup
    , meta
    }:
    assert pyproject;
    derivation {
      name = "${pname}-${version}";
      inherit system version pythonImportsCheck postFixup dependencies interpreter;
      src = "${src}";
      tools = build-system ++ nativeBuildInputs;
      functions = ./functions.sh;
      site = python.sitePackages;
      builder = interpreter;
      args = [ ./build.py ];
    }
    // { inherit meta pname version; };

  python = {
    inherit interpreter;
    sitePackages = "lib/python3/site-packages";
    pkgs = {
      inherit buildPythonApplication;
      hatchling = library "hatchling";
      jupyter-client = library "jupyter-client";
      pyzmq = library "pyzmq";
      makePythonPath = builtins.concatStringsSep ":";
    };
  };

  packages = {
    inherit lib;
    python3 = python;
    makeWrapper = library "make-wrapper";
    stdenv.hostPlatform = { inherit system; };
    callPackage = path: given:
      let function = import path; in
      function (builtins.intersectAttrs (builtins.functionArgs function) packages // given);
  };
in
packages
