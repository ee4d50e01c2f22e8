# The functions of nixpkgs' lib that package.nix, flake.nix and the modules use, to the same effect.
rec {
  genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  optionals = condition: list: if condition then list else [ ];
  licenses.mit.spdxId = "MIT";
  platforms.linux = [ "x86_64-linux" "aarch64-linux" ];

  fileset = {
    unions = paths: map (path: assert builtins.pathExists path; toString path) paths;
    toSource = { root, fileset }:
      let
        begins = start: text: builtins.substring 0 (builtins.stringLength start) text == start;
        within = path: wanted: path == wanted || begins "${wanted}/" path || begins "${path}/" wanted;
      in
      {
        outPath = builtins.path {
          path = root;
          name = "source";
          filter = path: _: builtins.any (within path) fileset;
        };
      };
  };

  # Of the module system: what an option and a definition are.
  mkOption = option: { _type = "option"; } // option;
  mkEnableOption = text: mkOption { default = false; description = "Whether to enable ${text}."; type = types.bool; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  types = { bool.name = "bool"; package.name = "package"; };
}
