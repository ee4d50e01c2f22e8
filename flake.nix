{
  description = "Enter the sandbox of a failed Nix build";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEach = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEach (
        pkgs:
        let
          nix-build-shell = pkgs.callPackage ./package.nix { };
        in
        {
          inherit nix-build-shell;
          default = nix-build-shell;
        }
      );

      # `nix run .#` is nbs; `nix run .#nix-build-shell DIR` the other command.
      apps = forEach (
        pkgs:
        let
          inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) default;
          app = name: {
            type = "app";
            program = "${default}/bin/${name}";
          };
        in
        {
          default = app "nbs";
          nbs = app "nbs";
          nix-build-shell = app "nix-build-shell";
        }
      );

      overlays.default = final: _: { nix-build-shell = final.callPackage ./package.nix { }; };

      nixosModules.default = import ./nix/nixos.nix;
      homeModules.default = import ./nix/home-manager.nix;
    };
}
