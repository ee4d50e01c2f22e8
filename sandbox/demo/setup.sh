# shellcheck shell=bash disable=SC2154,SC2013,SC2048,SC2123
# The set-up of a build: environment, hooks and phases. A build sources this file and then calls
# genericBuild; so does a person who wants to go on by hand, or who calls runPhase alone.
#
# It behaves as the set-up script of nixpkgs does wherever that can be seen from the outside: in
# env-vars, in the log, in the order of phases and hooks, and in what variables mean.
#
# The lines before this one, written by the recipe, set SHELL, initialPath, defaultNativeBuildInputs
# and defaultBuildInputs.

setupOriginalOptions=$-
set -eu
set -o pipefail
shopt -s inherit_errexit nullglob

# Structured attributes. The path that Nix gives up to 2.13 is the host's, and wrong in a sandbox.

if [[ -n ${NIX_ATTRS_SH_FILE-} || -n ${__structuredAttrs-} || -f ${NIX_BUILD_TOP-}/.attrs.sh ]]; then
    __structuredAttrs=1
    if [[ ! -e ${NIX_ATTRS_SH_FILE-} ]]; then export NIX_ATTRS_SH_FILE=$NIX_BUILD_TOP/.attrs.sh; fi
    if [[ ! -e ${NIX_ATTRS_JSON_FILE-} ]]; then export NIX_ATTRS_JSON_FILE=$NIX_BUILD_TOP/.attrs.json; fi
    if [[ $(declare -p outputs 2>/dev/null) != 'declare -A'* ]]; then
        # shellcheck disable=SC1090
        source "$NIX_ATTRS_SH_FILE"
    fi
    for outputName in "${!outputs[@]}"; do
        export "$outputName=${outputs[$outputName]}"
    done
    if [[ $(declare -p env 2>/dev/null) == 'declare -A'* ]]; then
        for variable in "${!env[@]}"; do
            export "$variable=${env[$variable]}"
        done
    fi
    unset -v outputName variable
else
    __structuredAttrs=
    : "${outputs:=out}"
fi

getAllOutputNames() {
    if [[ -n $__structuredAttrs ]]; then
        echo "${!outputs[*]}"
    else
        echo "$outputs"
    fi
}

# Text and paths

addToSearchPathWithCustomDelimiter() {
    local delimiter=$1 name=$2 directory=$3
    if [[ -d $directory && :${!name-}: != *":$directory:"* ]]; then
        export "$name=${!name:+${!name}$delimiter}$directory"
    fi
}

addToSearchPath() {
    addToSearchPathWithCustomDelimiter : "$@"
}

stripHash() {
    local name
    name=$(basename -- "$1")
    if [[ $name =~ ^[a-z0-9]{32}- ]]; then name=${name:33}; fi
    echo "$name"
}

# appendFlags ARRAY NAME...: adds what the variables NAME hold, be they lists or words in a string.
appendFlags() {
    local -n flagsTarget=$1
    local flagsName
    for flagsName in "${@:2}"; do
        if [[ $(declare -p "$flagsName" 2>/dev/null) =~ ^declare\ -[a-zA-Z]*a ]]; then
            local -n flagsList=$flagsName
            flagsTarget+=("${flagsList[@]}")
            unset -n flagsList
        else
            # shellcheck disable=SC2206
            flagsTarget+=(${!flagsName-})
        fi
    done
}

echoFlags() {
    printf '%s flags:' "$1"
    if (($# > 1)); then printf ' %q' "${@:2}"; fi
    echo
}

# substituteStream FILE OPTION...: prints the file with strings replaced.
substituteStream() {
    local file=$1 text pattern replacement
    shift
    # $(...) strips newlines at the end: one letter more protects them.
    text=$(cat -- "$file" && echo x)
    text=${text%x}
    while (($#)); do
        case $1 in
            --replace | --replace-fail | --replace-warn | --replace-quiet)
                pattern=$2 replacement=$3
                if [[ $text != *"$pattern"* && $1 == --replace-fail ]]; then
                    echo "substituteStream(): ERROR: pattern $pattern doesn't match anything in file '$file'" >&2
                    return 1
                elif [[ $text != *"$pattern"* && $1 != --replace-quiet ]]; then
                    echo "substituteStream(): WARNING: pattern $pattern doesn't match anything in file '$file'" >&2
                fi
                shift 3 ;;
            --subst-var) pattern=@$2@ replacement=${!2}; shift 2 ;;
            --subst-var-by) pattern=@$2@ replacement=$3; shift 3 ;;
            *) echo "substituteStream(): ERROR: unknown argument: $1" >&2; return 1 ;;
        esac
        text=${text//"$pattern"/"$replacement"}
    done
    printf %s "$text"
}

substitute() {
    substituteStream "$1" "${@:3}" > "$2"
}

substituteInPlace() {
    local -a files=()
    local file
    while (($#)) && [[ $1 != --* ]]; do files+=("$1"); shift; done
    for file in "${files[@]}"; do
        substitute "$file" "$file.substituted" "$@"
        cat -- "$file.substituted" > "$file"
        rm -- "$file.substituted"
    done
}

# patchShebangs [--build|--host] PATH...: scripts start with programs found on PATH instead.
patchShebangs() {
    local file line words program
    while [[ ${1-} == --* ]]; do shift; done
    echo "patching script interpreter paths in $*"
    while IFS= read -r -d '' file; do
        IFS= read -r line < "$file" 2>/dev/null || [[ -n $line ]] || continue
        if [[ $line != '#!'* ]]; then continue; fi
        read -ra words <<< "${line:2}"
        if [[ ${words[0]-} == "$NIX_STORE"* ]]; then continue; fi
        if [[ ${words[0]-} == */bin/env ]]; then words=("${words[@]:1}"); fi
        program=$(PATH=$HOST_PATH type -P "$(basename -- "${words[0]-}")") || continue
        words[0]=$program
        echo "$file: interpreter directive changed from \"$line\" to \"${words[*]}\""
        sed -i -e "1s|.*|#!${words[*]}|" -- "$file"
    done < <(find "$@" -type f -perm -0100 -print0)
}

# Hooks: preBuild and its like, as a function, a file on PATH or a variable; then the list preBuildHooks.

# runText TEXT: commands that a recipe holds in a variable. As a function, for bash 5.2 complains of
# its own books (pop_var_context) when a failure leaves a function through eval.
runText() {
    eval "recipeText() {
:
$1
}"
    recipeText
}

callImplicitHook() {
    local status=$1 name=$2
    if declare -F "$name" > /dev/null; then
        "$name"
    elif [[ -n ${!name-} ]]; then
        runText "${!name}"
    else
        return "$status"
    fi
}

evalHook() {
    if declare -F "$1" > /dev/null; then "$@"; else runText "$1"; fi
}

runHook() {
    local name=$1 hook options
    shift
    local list="${name%Hook}Hooks[@]"
    options=$(shopt -po nounset || true)
    set -u
    callImplicitHook 0 "$name"
    for hook in ${!list+"${!list}"}; do
        evalHook "$hook" "$@"
        set -u
    done
    eval "$options"
}

# runOneHook NAME ARGUMENT...: hooks until one succeeds.
runOneHook() {
    local name=$1 hook
    shift
    local list="${name%Hook}Hooks[@]"
    for hook in "callImplicitHook 1 $name" ${!list+"${!list}"}; do
        if evalHook "$hook" "$@"; then return 0; fi
    done
    return 1
}

exitHandler() {
    exitCode=$?
    set +e
    if ((exitCode == 0)); then
        runHook exitHook
        return 0
    fi
    runHook failureHook
    if [[ -n ${succeedOnFailure-} ]]; then
        echo "build failed with exit code $exitCode (ignored)"
        mkdir -p "$out/nix-support"
        printf %s "$exitCode" > "$out/nix-support/failed"
        exit 0
    fi
    return "$exitCode"
}
trap exitHandler EXIT

dumpVars() {
    if [[ ${noDumpEnvVars:-0} == 1 ]]; then return; fi
    # The variables may hold secrets: the file is private before anything is in it.
    if install -m 0600 /dev/null "$NIX_BUILD_TOP/env-vars" 2>/dev/null; then
        export 2>/dev/null >| "$NIX_BUILD_TOP/env-vars" || true
    fi
}

# The environment

: "${NIX_STORE:=/nix/store}"
: "${NIX_BUILD_TOP:=$PWD}"
export CONFIG_SHELL=$SHELL
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}
export TZ=UTC
export NIX_ENFORCE_PURITY=${NIX_ENFORCE_PURITY-1}
if [[ -z ${NIX_SSL_CERT_FILE-} ]]; then export NIX_SSL_CERT_FILE=/no-cert-file.crt; fi
if [[ -z ${SSL_CERT_FILE-} ]]; then export SSL_CERT_FILE=/no-cert-file.crt; fi
if [[ -n ${out-} ]]; then prefix=${prefix:-$out}; fi

PATH=
for directory in $initialPath; do addToSearchPath PATH "$directory/bin"; done
unset -v directory
if [[ ${NIX_BUILD_CORES:-0} -le 0 ]]; then NIX_BUILD_CORES=$(nproc); fi
export NIX_BUILD_CORES
runHook preHook

# Inputs. A package for this machine's programs has host offset -1, a package to link with 0.

nativeEnvHooks=()
hostEnvHooks=()
addEnvHooks() {
    local offset=$1
    if ((offset < 0)); then nativeEnvHooks+=("${@:2}"); else hostEnvHooks+=("${@:2}"); fi
}

nativePackages=()
hostPackages=()
# collectPackage native|host PATH: the package, and before it what it propagates.
collectPackage() {
    local -n packages=${1}Packages
    local package=$2 further
    if [[ " ${packages[*]-} " == *" $package "* ]]; then return; fi
    if [[ ! -e $package ]]; then
        echo "build input $package does not exist" >&2
        exit 1
    fi
    packages+=("$package")
    for further in $(cat "$package/nix-support/propagated-native-build-inputs" 2>/dev/null); do
        collectPackage native "$further"
    done
    for further in $(cat "$package/nix-support/propagated-build-inputs" 2>/dev/null); do
        collectPackage "$1" "$further"
    done
}

# activatePackage PACKAGE HOST-OFFSET TARGET-OFFSET: set-up hooks read both offsets.
activatePackage() {
    # shellcheck disable=SC2034
    local package=$1 hostOffset=$2 targetOffset=$3
    if [[ -f $package ]]; then
        # shellcheck disable=SC1090
        source "$package"
        return
    fi
    if ((hostOffset < 0)) || [[ -z ${strictDeps-} ]]; then addToSearchPath inputPath "$package/bin"; fi
    if ((hostOffset >= 0)); then addToSearchPath HOST_PATH "$package/bin"; fi
    addToSearchPath XDG_DATA_DIRS "$package/share"
    if [[ -f $package/nix-support/setup-hook ]]; then
        # shellcheck disable=SC1091
        source "$package/nix-support/setup-hook"
    fi
}

activatePackages() {
    local kind package hook
    local -a natives=() hosts=()
    appendFlags natives nativeBuildInputs propagatedNativeBuildInputs defaultNativeBuildInputs
    appendFlags hosts buildInputs propagatedBuildInputs defaultBuildInputs
    for package in "${natives[@]}"; do collectPackage native "$package"; done
    for package in "${hosts[@]}"; do collectPackage host "$package"; done
    for package in "${nativePackages[@]}"; do activatePackage "$package" -1 0; done
    for package in "${hostPackages[@]}"; do activatePackage "$package" 0 1; done
    for package in "${nativePackages[@]}"; do
        for hook in "${nativeEnvHooks[@]}"; do "$hook" "$package"; done
    done
    for package in "${hostPackages[@]}"; do
        for hook in "${hostEnvHooks[@]}"; do "$hook" "$package"; done
    done
}

inputPath=
activatePackages
export PATH=$inputPath${inputPath:+:}$PATH
export -n inputPath
unset -v inputPath
export HOST_PATH=${HOST_PATH-}${HOST_PATH:+:}$PATH

# Phases

unpackFile() {
    local source=$1
    echo "unpacking source archive $source"
    case $(stripHash "$source") in
        *.tar | *.tar.* | *.tgz | *.tbz2 | *.txz) tar xf "$source" --mode=+w --warning=no-timestamp ;;
        *)
            if [[ -d $source && -e $(stripHash "$source") ]]; then
                echo "Cannot copy $source to $(stripHash "$source"): destination already exists!"
                false
            elif [[ -d $source ]]; then
                cp -r --preserve=timestamps --reflink=auto -- "$source" "$(stripHash "$source")"
            else
                runOneHook unpackCmd "$source"
            fi ;;
    esac || {
        echo "do not know how to unpack source archive $source"
        exit 1
    }
}

unpackPhase() {
    runHook preUnpack
    local -a sources=()
    if [[ -n ${srcs-} ]]; then appendFlags sources srcs; else appendFlags sources src; fi
    if [[ ${#sources[@]} -eq 0 ]]; then
        # shellcheck disable=SC2016
        echo 'variable $src or $srcs should point to the source'
        exit 1
    fi
    local before=" " directory
    for directory in */; do before+="$directory "; done
    for curSrc in "${sources[@]}"; do unpackFile "$curSrc"; done
    : "${sourceRoot=}"
    if [[ -n ${setSourceRoot-} ]]; then
        runOneHook setSourceRoot
    elif [[ -z $sourceRoot ]]; then
        for directory in */; do
            if [[ $before == *" $directory "* ]]; then continue; fi
            if [[ -n $sourceRoot ]]; then
                echo "unpacker produced multiple directories"
                exit 1
            fi
            sourceRoot=${directory%/}
        done
    fi
    if [[ -z $sourceRoot ]]; then
        echo "unpacker appears to have produced no directories"
        exit 1
    fi
    echo "source root is $sourceRoot"
    if [[ ${dontMakeSourcesWritable:-0} != 1 ]]; then chmod -R u+w -- "$sourceRoot"; fi
    runHook postUnpack
}

patchPhase() {
    runHook prePatch
    local -a list=() flags=()
    appendFlags list patches
    appendFlags flags patchFlags
    local file decompress
    for file in "${list[@]}"; do
        echo "applying patch $file"
        case $file in
            *.gz) decompress='gzip -d' ;;
            *.bz2) decompress='bzip2 -d' ;;
            *.xz) decompress='xz -d' ;;
            *) decompress='cat' ;;
        esac
        $decompress < "$file" | patch "${flags[@]:--p1}"
    done
    runHook postPatch
}

configurePhase() {
    runHook preConfigure
    : "${configureScript=}"
    if [[ -z $configureScript && -x ./configure ]]; then configureScript=./configure; fi
    local -a flags=()
    if [[ -n $configureScript ]]; then
        if [[ -z ${dontAddPrefix-} && -n ${prefix-} ]]; then flags+=("${prefixKey:---prefix=}$prefix"); fi
        appendFlags flags configureFlags configureFlagsArray
        echoFlags configure "${flags[@]}"
        # shellcheck disable=SC2086
        $configureScript "${flags[@]}"
    else
        echo "no configure script, doing nothing"
    fi
    runHook postConfigure
}

haveMakefile() {
    [[ -n ${makefile-} || -e Makefile || -e makefile || -e GNUmakefile ]]
}

# runMake KIND FLAGS-NAME...: make with the flags of these variables, which KIND names in the log.
runMake() {
    local kind=$1
    shift
    local -a flags=()
    if [[ -n ${enableParallelBuilding-} ]]; then flags+=("-j$NIX_BUILD_CORES"); fi
    flags+=("SHELL=$SHELL")
    appendFlags flags makeFlags makeFlagsArray "$@"
    echoFlags "$kind" "${flags[@]}"
    make ${makefile:+-f "$makefile"} "${flags[@]}"
}

buildPhase() {
    runHook preBuild
    if haveMakefile; then
        foundMakefile=1
        runMake build buildFlags buildFlagsArray
    else
        echo "no Makefile or custom buildPhase, doing nothing"
    fi
    runHook postBuild
}

checkPhase() {
    runHook preCheck
    local target
    if [[ -z ${foundMakefile-} ]]; then
        echo "no Makefile or custom checkPhase, doing nothing"
    else
        for target in check test; do
            if [[ -n ${checkTarget-} ]]; then break; fi
            if make -n ${makefile:+-f "$makefile"} "$target" > /dev/null 2>&1; then checkTarget=$target; fi
        done
        if [[ -n ${checkTarget-} ]]; then
            runMake check checkFlags checkFlagsArray checkTarget
        else
            echo "no check/test target in ${makefile:-Makefile}, doing nothing"
        fi
    fi
    runHook postCheck
}

installPhase() {
    runHook preInstall
    if haveMakefile; then
        if [[ -n ${prefix-} ]]; then mkdir -p "$prefix"; fi
        : "${installTargets:=install}"
        runMake install installFlags installFlagsArray installTargets
    else
        echo "no Makefile or custom installPhase, doing nothing"
    fi
    runHook postInstall
}

fixupOneOutput() {
    local directory
    if [[ -z ${dontPatchShebangs-} ]]; then patchShebangs "$prefix"; fi
    for directory in "$prefix"/bin "$prefix"/sbin "$prefix"/lib "$prefix"/libexec; do
        if [[ -n ${dontStrip-} || ! -d $directory ]]; then continue; fi
        echo "stripping (with command strip and flags -S -p) in $directory"
        find "$directory" -type f -exec strip -S -p {} + 2>/dev/null || true
    done
}
fixupOutputHooks=(fixupOneOutput "${fixupOutputHooks[@]}")

fixupPhase() {
    local output prefix
    for output in $(getAllOutputNames); do
        if [[ -e ${!output} ]]; then chmod -R u+w,u-s,g-s "${!output}"; fi
    done
    runHook preFixup
    for output in $(getAllOutputNames); do
        prefix=${!output}
        if [[ -e $prefix ]]; then runHook fixupOutput; fi
    done
    writePropagated "${outputDev:-out}"
    runHook postFixup
}

# writePropagated OUTPUT: what builds that use this package will read.
writePropagated() {
    local directory=${!1-}/nix-support
    if [[ -n ${propagatedNativeBuildInputs-} ]]; then
        mkdir -p "$directory"
        echo "${propagatedNativeBuildInputs[*]}" > "$directory/propagated-native-build-inputs"
    fi
    if [[ -n ${propagatedBuildInputs-} ]]; then
        mkdir -p "$directory"
        echo "${propagatedBuildInputs[*]}" > "$directory/propagated-build-inputs"
    fi
    if [[ -n ${setupHook-} ]]; then
        mkdir -p "$directory"
        cat "$setupHook" > "$directory/setup-hook"
    fi
}

installCheckPhase() {
    runHook preInstallCheck
    if [[ -z ${foundMakefile-} ]]; then
        echo "no Makefile or custom installCheckPhase, doing nothing"
    elif make -n ${makefile:+-f "$makefile"} "${installCheckTarget:-installcheck}" > /dev/null 2>&1; then
        : "${installCheckTarget:=installcheck}"
        runMake installcheck installCheckFlags installCheckFlagsArray installCheckTarget
    else
        echo "no ${installCheckTarget:-installcheck} target in ${makefile:-Makefile}, doing nothing"
    fi
    runHook postInstallCheck
}

distPhase() {
    runHook preDist
    : "${distTarget:=dist}"
    runMake dist distFlags distFlagsArray distTarget
    runHook postDist
}

showPhaseHeader() {
    echo "Running phase: $1"
    if [[ -z ${NIX_LOG_FD-} ]]; then return; fi
    printf '@nix { "action": "setPhase", "phase": "%s" }\n' "$1" >&"$NIX_LOG_FD"
}

showPhaseFooter() {
    local seconds=$2
    if ((seconds < 30)); then return; fi
    echo "$1 completed in $((seconds / 60)) minutes $((seconds % 60)) seconds"
}

# isPhaseWanted PHASE: most phases run unless they are switched off, three only when switched on.
isPhaseWanted() {
    case $1 in
        unpackPhase) [[ -z ${dontUnpack-} ]] ;;
        patchPhase) [[ -z ${dontPatch-} ]] ;;
        configurePhase) [[ -z ${dontConfigure-} ]] ;;
        buildPhase) [[ -z ${dontBuild-} ]] ;;
        checkPhase) [[ -n ${doCheck-} ]] ;;
        installPhase) [[ -z ${dontInstall-} ]] ;;
        fixupPhase) [[ -z ${dontFixup-} ]] ;;
        installCheckPhase) [[ -n ${doInstallCheck-} ]] ;;
        distPhase) [[ -n ${doDist-} ]] ;;
    esac
}

runPhase() {
    local curPhase="$*" start
    if ! isPhaseWanted "$curPhase"; then return; fi
    showPhaseHeader "$curPhase"
    dumpVars
    start=$SECONDS
    # The variable comes first: it is what the recipe of the build says.
    if [[ -n ${!curPhase-} ]]; then runText "${!curPhase}"; else "$curPhase"; fi
    showPhaseFooter "$curPhase" $((SECONDS - start))
    if [[ $curPhase == unpackPhase ]]; then
        if [[ -n ${sourceRoot-} ]]; then chmod +x -- "$sourceRoot"; fi
        cd -- "${sourceRoot:-.}"
    fi
}

definePhases() {
    if [[ -n ${phases[*]-} ]]; then return; fi
    phases="${prePhases[*]-} unpackPhase patchPhase ${preConfigurePhases[*]-} configurePhase
        ${preBuildPhases[*]-} buildPhase checkPhase ${preInstallPhases[*]-} installPhase
        ${preFixupPhases[*]-} fixupPhase installCheckPhase ${preDistPhases[*]-} distPhase
        ${postPhases[*]-}"
}

genericBuild() {
    export GZIP_NO_TIMESTAMPS=1
    if [[ -f ${buildCommandPath-} ]]; then
        # shellcheck disable=SC1090
        source "$buildCommandPath"
        return
    fi
    if [[ -n ${buildCommand-} ]]; then
        runText "$buildCommand"
        return
    fi
    definePhases
    local phase
    for phase in ${phases[*]}; do runPhase "$phase"; done
}

runHook postHook
if [[ -n ${userHook-} ]]; then runText "$userHook"; fi
dumpVars

# pipefail, inherit_errexit, nullglob and the trap stay: a shell that sources this file keeps them.
if [[ $setupOriginalOptions != *e* ]]; then set +e; fi
if [[ $setupOriginalOptions != *u* ]]; then set +u; fi
unset -v setupOriginalOptions
