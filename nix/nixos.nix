# NixOS: the commands for everybody, and builds that keep what a failure leaves.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  settings = config.programs.nix-build-shell;
in
{
  options.programs.nix-build-shell = {
    enable = lib.mkEnableOption "nix-build-shell, which enters the sandbox of failed builds";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package with `nbs` and `nix-build-shell`.";
    };

    keepFailed = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Keep the directory of every failed build, as `--keep-failed` does for one. They stay until
        somebody removes them.
      '';
    };
  };

  config = lib.mkIf settings.enable {
    assertions = [
      {
        assertion = config.security.allowUserNamespaces;
        message = "programs.nix-build-shell needs security.allowUserNamespaces";
      }
    ];
    environment.systemPackages = [ settings.package ];
    # Where a Jupyter looks for kernels, besides its own environment.
    environment.sessionVariables.JUPYTER_PATH = [ "${settings.package}/share/jupyter" ];
    nix.settings.keep-failed = lib.mkIf settings.keepFailed true;
  };
}
