# home-manager: the commands for one user, on NixOS or elsewhere.
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
  };

  config = lib.mkIf settings.enable {
    home.packages = [ settings.package ];
    # Every Jupyter of this user finds the kernel here.
    xdg.dataFile."jupyter/kernels/nbs".source = "${settings.package}/share/jupyter/kernels/nbs";
  };
}
