# shellcheck shell=bash
# Reads the words behind `phase`, starts the build's bash as Nix started it, waits, and tells how it
# ended. The arguments are those of the last line of `word.bash`.

child=$1 shell=$2 options=$3 top=$4 failing=$5 env_vars=$6 build=$7 outputs=$8 rm=$9
place=${10}
shift 10
__nbs_told=("${@:2:$1}")
shift $(($1 + 1))
__nbs_builder=("${@:2:$1}")
shift $(($1 + 1))
__nbs_environment=("${@:2:$1}")
shift $(($1 + 1))
__nbs_here=("${@:2:$1}")
shift $(($1 + 1))
scratch=/tmp
if [[ ! -w $scratch ]]; then scratch=$top; fi
report=$scratch/.nbs-phase-$$ libraries=$scratch/.nbs-libraries-$$
__nbs_names=() __nbs_settings=() jobs='' from='' until='' clean='' trace='' debug_libraries='' mode='' state=''
if (($# == 0)); then mode=list; fi

usage() {
  printf '%s\n' "\
usage: phase [OPTIONS] [NAME…] [VARIABLE=VALUE…]

Run phases of this build again, in a bash of their own that is set up as the build's was: its
environment, its set-up, and what was exported when the failing phase began. Without a name: list
the phases. A name may be left without its \`Phase\`. \`builder\` is all that Nix runs.

  phase                        the phases, what each is, and which one failed
  phase --failing              the one that failed
  phase checkPhase doCheck=1   with a variable set, as the recipe could have set it

  --from NAME, --until NAME    a range of phases; from the failing one, if only the end is named
  --all                        from the first one, up to NAME, else to the one that failed
  --failing                    the phase that failed
  --here                       with this shell's exported variables, in its directory
  --clean                      like --all, in a new directory beside, from what Nix began with
  --trace[=FILE]               each command with file and line, beside the phase's own stderr
  --trace-fd N                 the same on descriptor N of the shell
  -j N                         N jobs at once; -j1 builds, tests and installs one thing at a time
  --debug-libs                 which libraries were looked for, by whom, and where
  --list, --help

exit status: that of the phase; 2 wrong usage; 125 what was kept does not allow it."
}

# The way errors are told everywhere: what, the way on, and the word for programs.
complain() {
  printf 'error: %s\n\nhint: %s\n%80s\n' "$1" "$3" "($2, ${4-2})" >&2
  exit "${4-2}"
}

set_mode() {
  if [[ $mode && $mode != "$1" ]]; then
    complain "\`--$mode\` and \`--$1\` exclude each other" option-value "\`phase --help\` tells what goes together"
  fi
  mode=$1
}

value_of() {
  if (($# < 2)); then complain "\`$1\` wants a value" option-value "\`phase --help\` lists the options"; fi
}

while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --list) set_mode list ;;
    --failing) set_mode failing ;;
    --all) from=@first ;;
    --here) ;;
    --clean) clean=1 from=@first ;;
    --from=*) from=${1#*=} ;;
    --from) value_of "$@" && from=$2 && shift ;;
    --until=*) until=${1#*=} ;;
    --until) value_of "$@" && until=$2 && shift ;;
    --keep-state) state=1 ;; # for those who keep the directory: env-vars as the build writes it
    --keep-state=noted) state=noted ;; # and which phase has failed, in .nbs-failed
    --trace) trace=@2 ;;
    --trace=?*) trace=${1#*=} ;;
    --trace-fd) value_of "$@" && trace=@$2 && shift ;;
    --trace-fd=*) trace=@${1#*=} ;;
    --debug-libs) debug_libraries=$libraries ;;
    -j) value_of "$@" && jobs=$2 && shift ;;
    -j?*) jobs=${1#-j} ;;
    -*) complain "there is no option \`$1\`" option-unknown "\`phase --help\` lists the options" ;;
    *=*)
      if [[ ! $1 =~ ^[A-Za-z_][A-Za-z_0-9]*= ]]; then
        complain "\`${1%%=*}\` cannot be the name of a variable" option-value "\`phase NAME VARIABLE=VALUE\`"
      fi
      __nbs_settings+=("$1")
      ;;
    *) __nbs_names+=("$1") ;;
  esac
  shift
done
if [[ $jobs && ! $jobs =~ ^[0-9]{1,6}$ ]]; then
  complain "\`-j\` wants a number, not \`$jobs\`" option-value "\`phase -j1 NAME\`"
fi
if [[ $trace == @* ]]; then
  if [[ ! ${trace#@} =~ ^[0-9]{1,4}$ ]] || ! { true >&"${trace#@}"; } 2>/dev/null; then
    complain "no descriptor \`${trace#@}\` is open to be written" option-value "\`phase --trace-fd 3 NAME 3>FILE\`"
  fi
  # Its standard input is empty, whatever it is here.
  exec {__nbs_traced}>&"${trace#@}"
  trace=@$__nbs_traced
fi
if [[ $clean && $mode != list ]]; then
  if [[ ${#__nbs_environment[@]} -eq 0 ]]; then
    complain 'nothing tells with what Nix began this build' environment-unknown "\`--derivation /nix/store/….drv\` names the derivation that was built" 125
  fi
  kept_top=$top number=1 env_vars='' place=''
  while [[ -e $kept_top/.clean-$number ]]; do number=$((number + 1)); done
  top=$kept_top/.clean-$number
  "${rm%/*}/mkdir" -- "$top" || complain "\`$top\` cannot be made" option-value "\`nbs phase --clean $build\`, outside"
  printf '%s\n' "in $top, where there is nothing yet; outside, \`nbs phase --clean $build${__nbs_names[*]:+ ${__nbs_names[*]}}\` does it in $kept_top" >&2
  for number in "${!__nbs_environment[@]}"; do
    case ${__nbs_environment[number]} in
      NIX_BUILD_TOP=* | TMPDIR=* | TEMPDIR=* | TMP=* | TEMP=* | PWD=*)
        if [[ ${__nbs_environment[number]#*=} == "$kept_top" ]]; then
          __nbs_environment[number]=${__nbs_environment[number]%%=*}=$top
        fi
        ;;
    esac
  done
fi
if [[ $from == @first && $mode == list ]]; then from=''; fi
if [[ $from == @first && ${#__nbs_names[@]} -eq 1 && ! $until ]]; then until=${__nbs_names[0]} __nbs_names=(); fi
if [[ $mode && ($from || $until || ${#__nbs_names[@]} -gt 0) ]] || [[ ($from || $until) && ${#__nbs_names[@]} -gt 0 ]]; then
  complain "names, a range, \`--failing\` and \`--list\` exclude each other" option-value "\`phase --help\` tells what goes together"
fi
if [[ ! $mode && ! $from$until && ${#__nbs_names[@]} -eq 0 ]]; then mode=failing; fi
if [[ $from == @first && $until == builder ]]; then from='' until='' __nbs_names=(builder); fi
if [[ $failing == builder && (($mode == failing) || $from == @first) && ${until:-builder} == @(builder|@last) ]]; then
  mode=run __nbs_names=(builder) from='' until=''
fi
if [[ ${#__nbs_here[@]} -eq 0 ]]; then place=''; fi

# What the build's bash is told: variables for the files behind `child`, by name, and lists.
__nbs_facts=(
  "mode=${mode:-run}" "from=$from" "until=$until" "failing=$failing" "state=$state" "jobs=$jobs"
  "trace=$trace" "libraries=$debug_libraries" "report=$report" "env_vars=$env_vars" "place=$place"
  "build=$build" "builder=${__nbs_builder[*]}"
)
__nbs_asked=(
  "${#__nbs_facts[@]}" "${__nbs_facts[@]}" "${#__nbs_names[@]}" "${__nbs_names[@]}" "${#__nbs_told[@]}" "${__nbs_told[@]}"
  "${#__nbs_settings[@]}" "${__nbs_settings[@]}" "${__nbs_here[@]}"
)

# What has ended by an interrupt is told of, too.
trap : INT
status=0
# Where nothing tells with what Nix started the build, it is what env-vars has. Sourced outside of
# functions, where `declare` would make its variables local. All these lines are what bash itself says
# of a shell that a signal has ended.
exec {stderr}>&2 2>/dev/null
(
  set -- "$shell" "$options" "$child" "$top" "${__nbs_names[0]-}" "${#__nbs_builder[@]}" "${__nbs_builder[@]}" "${__nbs_asked[@]}"
  unset -v SHLVL
  if ((${#__nbs_environment[@]})); then
    for __nbs_variable in "${__nbs_environment[@]}"; do export "${__nbs_variable?}" 2>/dev/null; done
  elif [[ $env_vars ]]; then
    # shellcheck disable=SC1090
    source "$env_vars" 2>/dev/null
  fi
  for __nbs_variable in "${__nbs_settings[@]}"; do export "${__nbs_variable?}"; done
  cd -- "$4" || exit
  unset -v OLDPWD
  if [[ $5 == builder && $6 -gt 0 ]]; then
    # What is written there is for Nix alone to read.
    if [[ ${NIX_LOG_FD-} ]]; then NIX_LOG_FD=; fi
    exec -a "${7##*/}" "${@:7:$6}"
  else
    # shellcheck disable=SC2086  # the options are words
    exec "$1" $2 -c "$3" "${1##*/}" "${@:7+$6}"
  fi
) </dev/null 2>&"$stderr" {stderr}>&- || status=$?
exec 2>&"$stderr" {stderr}>&-

# Which library was looked for by whom, and where it was found; what is not there comes first.
libraries_of() {
  local line wanted program tried absent='' there='' found
  while IFS= read -r line || [[ $line ]]; do
    line=${line#*:$'\t'}
    case $line in
      'find library='*)
        note_library
        wanted=${line#find library=} wanted=${wanted%% \[*} tried='' found='' asker=$program
        ;;
      ' search path='*'from file '*) asker=${line##*from file } asker=${asker%)} ;;
      '  trying file='*)
        found=${line#*trying file=}
        # Of each directory, not those below it for one kind of processor.
        case $found in
          */glibc-hwcaps/* | */tls/* | */x86_64/* | */haswell/* | */avx512_1/*) ;;
          *) tried+=" $found" ;;
        esac
        ;;
      'initialize program: '*) note_library && program=${line#initialize program: } ;;
      'calling init: '* | 'transferring control: '*) note_library ;;
    esac
  done
  note_library
  printf '%s' "$absent$there"
}

note_library() {
  if [[ ! ${wanted-} ]]; then return; fi
  if [[ $found && -e $found ]]; then
    there+="  $wanted: $found${asker:+, wanted by $asker}"$'\n'
  else
    absent+="  $wanted: not found${asker:+, wanted by $asker}; looked for as${tried:- nothing}"$'\n'
  fi
  wanted=''
}

tell_libraries() {
  local -A told=()
  local file line absent='' there=''
  for file in "$libraries".*; do
    if [[ ! -e $file ]]; then continue; fi
    while IFS= read -r line; do
      if [[ ${told[$line]-} ]]; then continue; fi
      told[$line]=1
      if [[ $line == *': not found'* ]]; then absent+=$line$'\n'; else there+=$line$'\n'; fi
    done < <(libraries_of <"$file")
    if [[ $rm ]]; then "$rm" -f -- "$file"; fi
  done
  printf 'libraries:\n%s' "$absent$there" >&2
}

if [[ $debug_libraries ]]; then tell_libraries; fi
if [[ -f $report ]]; then
  said=$(<"$report")
  printf '%s\n' "$said" >&2
elif ((status > 128 && status < 193)); then
  printf 'the phase was ended by signal %s\n' "$((status - 128))" >&2
fi
# The builder has ended well, and Nix would look for what it made.
if ((status == 0)) && [[ -e $report.ended || ${__nbs_names[0]-} == builder ]]; then
  without='without that output Nix lets the build fail'
  if [[ -s $report.ended ]]; then without=$(<"$report.ended"); fi
  for output in $outputs; do
    if [[ -e $output || -L $output ]]; then continue; fi
    printf 'nothing is at %s: %s\n' "$output" "$without" >&2
    # Who asks whether a build would pass is told that it would not, and who asks what failed, what did.
    if [[ -f $report ]]; then
      status=1
    elif [[ $state == noted && ! -s $report.ended ]]; then
      printf 'its end, for want of an output' >|"$top/.nbs-failed"
      status=1
    fi
  done
fi
if [[ $rm && (-e $report || -e $report.inner || -e $report.ended) ]]; then
  "$rm" -f -- "$report" "$report.inner" "$report.ended"
fi
exit "$status"
