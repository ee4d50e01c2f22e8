# For callPackage: the commands, their manual pages and completions, and the Jupyter kernel.
#
#     pkgs.callPackage ./package.nix { }
#     pkgs.callPackage ./package.nix { withKernel = false; }    # the commands alone
{
  lib,
  makeWrapper,
  python3,
  withKernel ? true,
}:

let
  python = python3;
  inherit (lib.importTOML ./pyproject.toml) project;
  needs = lib.optionals withKernel (
    with python.pkgs;
    [
      jupyter-client
      pyzmq
    ]
  );
in
python.pkgs.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  src = lib.fileset.toSource {
    root = ./.;
    fileset = lib.fileset.unions [
      ./LICENSE
      ./README.md
      ./docs/man
      ./kernelspec
      ./nbs_kernel
      ./notebooks
      ./pyproject.toml
      ./sandbox
    ];
  };

  build-system = [ python.pkgs.hatchling ];
  dependencies = needs;
  nativeBuildInputs = [ makeWrapper ];

  # The tests want namespaces and a Nix, which a build has not.
  doCheck = false;
  pythonImportsCheck = [ "sandbox.cli.nbs" ] ++ lib.optionals withKernel [ "nbs_kernel.launcher" ];

  # The wheel brings manual pages, completions, the kernelspec and the notebooks along, below share/.
  # Another Jupyter's `python` has not these modules: the kernel gets an interpreter that finds them.
  postFixup =
    if withKernel then
      ''
        makeWrapper ${python.interpreter} $out/libexec/nbs-python \
          --set PYTHONNOUSERSITE true \
          --prefix PYTHONPATH : "$out/${python.sitePackages}:${python.pkgs.makePythonPath needs}"
        substituteInPlace $out/share/jupyter/kernels/nbs/kernel.json \
          --replace-fail '"python"' "\"$out/libexec/nbs-python\""
      ''
    else
      ''
        rm -r $out/share/jupyter $out/share/nix-build-shell
      '';

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    mainProgram = "nbs";
    platforms = lib.platforms.linux;
  };
}
