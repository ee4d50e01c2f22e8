{
  description = "As much of nixpkgs as the flake uses, where there is no nixpkgs";

  outputs = _: {
    lib = import ./lib.nix;
    legacyPackages = builtins.mapAttrs (system: _: import ./. { inherit system; }) {
      x86_64-linux = { };
      aarch64-linux = { };
    };
  };
}
