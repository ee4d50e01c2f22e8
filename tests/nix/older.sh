# shellcheck shell=bash disable=SC2154,SC2048
# Behind the set-up of this directory's stdenv: phases run as nixpkgs' set-up did until 2023, when
# nothing ran one phase alone. What matters is what it looks like from outside: no runPhase and no
# definePhases; the phase's name in a variable of the loop; headers in words.

unset -f runPhase definePhases

showPhaseHeader() {
    case $1 in
        unpackPhase) echo "unpacking sources" ;;
        patchPhase) echo "patching sources" ;;
        configurePhase) echo "configuring" ;;
        buildPhase) echo "building" ;;
        checkPhase) echo "running tests" ;;
        installPhase) echo "installing" ;;
        fixupPhase) echo "post-installation fixup" ;;
        *) echo "$1" ;;
    esac
}

genericBuild() {
    export GZIP_NO_TIMESTAMPS=1
    if [[ -f ${buildCommandPath:-} ]]; then
        # shellcheck disable=SC1090
        source "$buildCommandPath"
        return
    fi
    if [[ -n ${buildCommand:-} ]]; then
        eval "$buildCommand"
        return
    fi
    if [[ -z ${phases:-} ]]; then
        phases="${prePhases[*]:-} unpackPhase patchPhase ${preConfigurePhases[*]:-} configurePhase
            ${preBuildPhases[*]:-} buildPhase checkPhase ${preInstallPhases[*]:-} installPhase
            ${preFixupPhases[*]:-} fixupPhase installCheckPhase ${preDistPhases[*]:-} distPhase
            ${postPhases[*]:-}"
    fi
    for curPhase in ${phases[*]}; do
        isPhaseWanted "$curPhase" || continue
        if [[ -n ${NIX_LOG_FD-} ]]; then
            printf '@nix { "action": "setPhase", "phase": "%s" }\n' "$curPhase" >&"$NIX_LOG_FD"
        fi
        showPhaseHeader "$curPhase"
        dumpVars
        local options
        options=$(shopt -po nounset || true)
        set +u
        eval "${!curPhase:-$curPhase}"
        eval "$options"
        if [[ $curPhase == unpackPhase ]]; then cd "${sourceRoot:-.}" || exit; fi
    done
}
