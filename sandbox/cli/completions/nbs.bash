# Completion for nbs and nix-build-shell in bash. It needs nothing but bash itself.

_nbs_options() {
  case $1 in
    nix-build-shell)
      printf '%s\n' --copy --derivation --help --inputs --profile --sandboxed --store --unsandboxed \
        --version --whole-store --with-tool
      ;;
    shell)
      printf '%s\n' --changed --copy --derivation --fork --help --inputs --profile --sandboxed --store \
        --unsandboxed --version --whole-store --with-tool --ws
      ;;
    build)
      printf '%s\n' --copy --derivation --help --inputs --no-enter --notebook --profile --sandboxed \
        --store --unsandboxed --whole-store --with-tool
      ;;
    notebook) printf '%s\n' --derivation --force --help --no-open --store ;;
    cp) printf '%s\n' --derivation --help --recursive --store ;;
    console) printf '%s\n' --help --store ;;
    report) printf '%s\n' --help --output ;;
    log) printf '%s\n' --derivation --errors --file --help --json --phase --store ;;
    diff)
      printf '%s\n' --all --color --exact --help --json --names --no-pager --since --stat --store
      ;;
    patch) printf '%s\n' --all --exclude --help --nix --output --quick --since --source-root --store ;;
    phase)
      printf '%s\n' --all --clean --copy --debug-libs --derivation --failing --from --help --inputs \
        --list --profile --sandboxed --store --trace --trace-fd --unsandboxed --until --whole-store
      ;;
    replay)
      printf '%s\n' --check --copy --derivation --help --inputs --output --profile --sandboxed --store \
        --unsandboxed --until --whole-store --ws
      ;;
    verify)
      printf '%s\n' --copy --derivation --help --inputs --output --patch --profile --real --sandboxed \
        --store --to-end --unsandboxed --until --whole-store --yes
      ;;
    ls) printf '%s\n' --help --json --names --store ;;
    show) printf '%s\n' --derivation --help --json --profile --store ;;
    plan)
      printf '%s\n' --calls --copy --derivation --diff --help --inputs --json --profile \
        --sandboxed --store --unsandboxed --whole-store
      ;;
    doctor) printf '%s\n' --help --json ;;
    demo) printf '%s\n' --again --help ;;
    snapshot) printf '%s\n' --help --remove --ws ;;
    restore) printf '%s\n' --help --ws ;;
    snapshots) printf '%s\n' --help --json --names --ws ;;
    ws-ls) printf '%s\n' --help --json --names ;;
    ws-prune)
      printf '%s\n' --dry-run --help --larger-than --older-than --total --unused --yes
      ;;
    completion | kernel | kernel-uninstall | ws | ws-path | ws-rm) printf '%s\n' --help ;;
    kernel-list) printf '%s\n' --help --names ;;
    kernel-install)
      printf '%s\n' --build --display-name --help --name --prefix --store --sys-prefix --user
      ;;
    nbs) printf '%s\n' --help --version ;;
  esac
}

# The words on standard input that begin with $1, as COMPREPLY; names of builds can hold any character.
_nbs_reply() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    if [[ $word == "$1"* ]]; then
      COMPREPLY+=("$(printf '%q' "$word")")
    fi
  done
}

_nbs_files() {
  local kind=$1 current=$2
  compopt -o filenames 2>/dev/null
  COMPREPLY=()
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "-$kind" -- "$current")
}

# BUILD: a name that `nbs ls` knows, or a path.
_nbs_builds() {
  local current=$1
  if [[ $current == */* || $current == .* ]]; then
    _nbs_files d "$current"
  else
    _nbs_reply "$current" < <(nbs ls --names 2>/dev/null)
  fi
}

# Of `nbs cp`: a file of the host, or a build with the colon that its path comes behind.
_nbs_sides() {
  local current=$1 build
  local -a builds=()
  if [[ $current != */* ]]; then
    while IFS= read -r build; do
      if [[ $build: == "$current"* ]]; then builds+=("$(printf '%q:' "$build")"); fi
    done < <(nbs ls --names 2>/dev/null)
  fi
  _nbs_files f "$current"
  if ((${#builds[@]})); then compopt -o nospace 2>/dev/null; fi
  COMPREPLY+=("${builds[@]}")
}

_nbs_workspaces() {
  _nbs_reply "$1" < <(nbs ws ls --names 2>/dev/null)
}

# Those of nixpkgs: what else a build has is known inside alone.
_nbs_phases() {
  _nbs_reply "$1" < <(
    printf '%s\n' unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase \
      installCheckPhase distPhase builder
  )
}

# The value of the option before the cursor; false if that is none with a value.
_nbs_value() {
  local option=$1 current=$2
  case $option in
    --inputs) _nbs_reply "$current" < <(printf '%s\n' ro rw) ;;
    --profile) _nbs_reply "$current" < <(printf '%s\n' 2.8 2.18 2.24 2.30 2.32 2.35 lix-2.94) ;;
    --derivation | --output | --patch) _nbs_files f "$current" ;;
    --store) _nbs_files d "$current" ;;
    --build | --diff) _nbs_builds "$current" ;;
    --phase)
      _nbs_reply "$current" < <(
        printf '%sPhase\n' unpack patch configure build check install fixup installCheck
      )
      ;;
    --file) _nbs_reply "$current" < <(printf '%s\n' CMakeError.log config.log meson-log.txt) ;;
    --from | --until) _nbs_phases "$current" ;;
    --prefix) _nbs_files d "$current" ;;
    --color) _nbs_reply "$current" < <(printf '%s\n' auto always never) ;;
    --with-tool) _nbs_files c "$current" ;;
    --ws) _nbs_workspaces "$current" ;;
    --display-name | --exclude | --larger-than | --name | --older-than | --since | --source-root | --total) COMPREPLY=() ;;
    *) return 1 ;;
  esac
}

# How many words before the cursor, from $1 on, are neither options nor their values; `--` ends.
_nbs_operands() {
  local index count=0
  for ((index = $1; index < COMP_CWORD; index++)); do
    case ${COMP_WORDS[index]} in
      --) count=-1 && break ;;
      --build | --color | --derivation | --diff | --display-name | --exclude | --file | --from | --inputs | --larger-than | --name | --older-than | --output | --patch | --phase | --prefix | --profile | --since | --source-root | --store | --total | --until | --with-tool | --ws)
        ((index++))
        ;;
      -*) ;;
      *) ((count++)) ;;
    esac
  done
  printf '%s' "$count"
}

# The command inside has programs and paths of its own: none of the host's are right.
_nix_build_shell() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  if [[ $(_nbs_operands 1) != 0 ]]; then return; fi
  if _nbs_value "$previous" "$current"; then return; fi
  if [[ $current == -* ]]; then
    _nbs_reply "$current" < <(_nbs_options nix-build-shell)
  else
    _nbs_files d "$current"
  fi
}

# Behind `nbs kernel`: what to do, then the kernels that can be removed.
_nbs_kernel_names() {
  local current=$1 operands=$2
  if ((operands == 0)); then
    _nbs_reply "$current" < <(printf '%s\n' install list uninstall)
  elif [[ ${COMP_WORDS[2]} == uninstall ]]; then
    _nbs_reply "$current" < <(nbs kernel list --names 2>/dev/null)
  fi
}

# Behind `nbs ws`: what to do, then the workspaces.
_nbs_ws_names() {
  local current=$1 operands=$2
  if ((operands == 0)); then
    _nbs_reply "$current" < <(printf '%s\n' ls path prune rm)
  elif [[ ${COMP_WORDS[2]} == rm || (${COMP_WORDS[2]} == path && $operands == 1) ]]; then
    _nbs_workspaces "$current"
  fi
}

_nbs() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _nbs_reply "$current" < <(
      printf '%s\n' build completion console cp demo diff doctor kernel log ls notebook patch phase plan replay \
        report restore shell show snapshot snapshots verify ws
      if [[ $current == -* ]]; then _nbs_options nbs; fi
    )
    return
  fi
  local operands
  operands=$(_nbs_operands 2)
  if ((operands < 0)); then return; fi
  if _nbs_value "$previous" "$current"; then return; fi
  if [[ $current == -* ]]; then
    if [[ $verb == kernel || $verb == ws ]] && ((operands > 0)); then verb+=-${COMP_WORDS[2]}; fi
    _nbs_reply "$current" < <(_nbs_options "$verb")
    return
  fi
  if [[ $verb == kernel ]]; then
    _nbs_kernel_names "$current" "$operands"
    return
  fi
  if [[ $verb == restore || $verb == snapshot ]]; then
    if ((operands == 0)); then _nbs_reply "$current" < <(nbs snapshots --names 2>/dev/null); fi
    return
  fi
  if [[ $verb == cp ]]; then
    _nbs_sides "$current"
    return
  fi
  if [[ $verb == snapshots ]]; then return; fi
  if [[ $verb == ws ]]; then
    _nbs_ws_names "$current" "$operands"
    return
  fi
  if [[ $verb:$operands == report:0 || $verb:$operands == notebook:1 ]]; then
    _nbs_files f "$current"
    return
  fi
  if ((operands > 0)); then
    if [[ $verb == phase ]]; then _nbs_phases "$current"; fi
    return
  fi
  case $verb in
    console | diff | log | notebook | patch | phase | plan | replay | shell | show | verify) _nbs_builds "$current" ;;
    build) _nbs_reply "$current" < <(printf '%s\n' -- nix nix-build nix-store) ;;
    completion) _nbs_reply "$current" < <(printf '%s\n' bash fish zsh) ;;
  esac
}

complete -F _nbs nbs
complete -F _nix_build_shell nix-build-shell
