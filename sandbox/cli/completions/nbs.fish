# Completion for nbs and nix-build-shell in fish.

function __nbs_words
    # The words before the cursor, behind the command's own.
    set --local words (commandline --cut-at-cursor --tokenize --current-process)
    printf '%s\n' $words[2..]
end

function __nbs_operands
    # Those that are neither options nor their values; `--` is one.
    set --local skip no
    for word in (__nbs_words)
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case --build --color --derivation --diff --display-name --exclude --file --from --inputs --larger-than --name --older-than --output --patch --phase --prefix --profile --since --source-root --store --total --until --with-tool --ws
                set skip yes
            case --
                echo $word
            case '-*'
            case '*'
                echo $word
        end
    end
end

function __nbs_no_verb
    test -z (__nbs_operands | string join ' ')
end

function __nbs_verb_is
    # The verb is one of these, and no `--` was there: behind it is a command of the sandbox's.
    set --local operands (__nbs_operands)
    contains -- "$operands[1]" $argv; and not contains -- -- $operands
end

function __nbs_wants_build
    set --local operands (__nbs_operands)
    contains -- "$operands[1]" console diff log notebook patch phase replay shell show plan verify; and test (count $operands) -eq 1
end

function __nbs_wants_phase
    set --local operands (__nbs_operands)
    test "$operands[1]" = phase; and test (count $operands) -ge 2
end

function __nbs_wants_notebook
    set --local operands (__nbs_operands)
    test "$operands[1]" = report -a (count $operands) -eq 1; or test "$operands[1]" = notebook -a (count $operands) -eq 2
end

function __nbs_builds
    command nbs ls --names 2>/dev/null
    __fish_complete_directories (commandline --current-token)
end

function __nbs_kernel_action
    # What `nbs kernel` is to do, if it is one of these.
    set --local operands (__nbs_operands)
    test "$operands[1]" = kernel; and contains -- "$operands[2]" $argv
end

function __nbs_kernel_no_action
    set --local operands (__nbs_operands)
    test "$operands[1]" = kernel; and test (count $operands) -eq 1
end

function __nbs_ws_action
    # What `nbs ws` is to do, if it is one of these.
    set --local operands (__nbs_operands)
    test "$operands[1]" = ws; and contains -- "$operands[2]" $argv
end

function __nbs_ws_no_action
    set --local operands (__nbs_operands)
    test "$operands[1]" = ws; and test (count $operands) -eq 1
end

function __nbs_wants_directory
    test -z (__nbs_operands | string join ' ')
end

complete --command nbs --no-files
complete --command nbs --condition __nbs_no_verb --long-option help --short-option h -d 'what there is'
complete --command nbs --condition __nbs_no_verb --long-option version -d 'the version'
complete --command nbs --condition __nbs_no_verb --arguments build -d 'a build, and into what fails'
complete --command nbs --condition __nbs_no_verb --arguments log -d 'its log, or a part of it'
complete --command nbs --condition __nbs_no_verb --arguments diff -d 'what was changed in a workspace'
complete --command nbs --condition __nbs_no_verb --arguments patch -d 'the changes to its sources as a patch'
complete --command nbs --condition __nbs_no_verb --arguments notebook -d 'a notebook about it'
complete --command nbs --condition __nbs_no_verb --arguments console -d "Jupyter's console in its sandbox"
complete --command nbs --condition __nbs_no_verb --arguments report -d 'a notebook, run as HTML'
complete --command nbs --condition __nbs_no_verb --arguments shell -d 'enter the sandbox of a failed build'
complete --command nbs --condition __nbs_no_verb --arguments cp -d 'files out of its sandbox, and into it'
complete --command nbs --condition __nbs_no_verb --arguments phase -d 'phases of a failed build again'
complete --command nbs --condition __nbs_no_verb --arguments replay -d 'all its phases up to the failing one'
complete --command nbs --condition __nbs_no_verb --arguments verify -d 'does a patch repair it'
complete --command nbs --condition __nbs_no_verb --arguments ls -d 'the failed builds of this machine'
complete --command nbs --condition __nbs_no_verb --arguments show -d 'all that is known of one'
complete --command nbs --condition __nbs_no_verb --arguments ws -d 'what was changed in a shell, kept'
complete --command nbs --condition __nbs_no_verb --arguments snapshot -d 'a workspace as it is now, kept'
complete --command nbs --condition __nbs_no_verb --arguments restore -d 'a workspace back at a snapshot'
complete --command nbs --condition __nbs_no_verb --arguments snapshots -d 'the snapshots of a workspace'
complete --command nbs --condition __nbs_no_verb --arguments plan -d 'its sandbox as data'
complete --command nbs --condition __nbs_no_verb --arguments doctor -d 'what this machine allows'
complete --command nbs --condition __nbs_no_verb --arguments demo -d 'a failed build to try everything on'
complete --command nbs --condition __nbs_no_verb --arguments kernel -d 'the Jupyter kernel that lives in the sandbox'
complete --command nbs --condition __nbs_no_verb --arguments completion -d 'the completion script'
complete --command nbs --condition __nbs_wants_build --arguments '(__nbs_builds)'
complete --command nbs --condition '__nbs_verb_is completion' --arguments 'bash fish zsh'

set --local phases unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase installCheckPhase distPhase builder
complete --command nbs --condition __nbs_wants_phase --arguments "$phases"
complete --command nbs --condition '__nbs_verb_is phase' --long-option clean -d 'begin with an empty directory'
complete --command nbs --condition '__nbs_verb_is phase' --long-option all -d 'from the first phase on'
complete --command nbs --condition '__nbs_verb_is phase' --long-option failing -d 'the phase that failed'
complete --command nbs --condition '__nbs_verb_is phase' --long-option list -d 'what there is'
complete --command nbs --condition '__nbs_verb_is phase' --long-option from --exclusive --arguments "$phases" -d 'the first of a range'
complete --command nbs --condition '__nbs_verb_is phase' --long-option until --exclusive --arguments "$phases" -d 'the last of a range'
complete --command nbs --condition '__nbs_verb_is phase' --long-option trace -d 'each command with file and line'
complete --command nbs --condition '__nbs_verb_is phase' --long-option trace-fd --exclusive -d 'the same on a descriptor'
complete --command nbs --condition '__nbs_verb_is phase' --long-option debug-libs -d 'which libraries were looked for'

complete --command nbs --condition '__nbs_verb_is replay verify' --long-option until --exclusive --arguments "$phases" -d 'the last phase to run'
complete --command nbs --condition '__nbs_verb_is replay verify' --long-option output --short-option o --require-parameter --force-files -d 'where to put what comes of it'
complete --command nbs --condition '__nbs_verb_is replay' --long-option ws --exclusive -d 'the workspace to keep it in'
complete --command nbs --condition '__nbs_verb_is replay' --long-option check -d 'is what it leaves what was kept'
complete --command nbs --condition '__nbs_verb_is verify' --long-option patch --require-parameter --force-files -d 'the patch to try'
complete --command nbs --condition '__nbs_verb_is verify' --long-option to-end -d 'all phases'
complete --command nbs --condition '__nbs_verb_is verify' --long-option real -d 'a build by Nix itself'
complete --command nbs --condition '__nbs_verb_is verify' --long-option yes --short-option y -d 'do not ask'

set --local all build shell cp phase replay verify ls show log diff patch notebook console report snapshot restore snapshots plan ws doctor demo kernel completion
complete --command nbs --condition "__nbs_verb_is $all" --long-option help -d 'how it is used'
complete --command nbs --condition '__nbs_verb_is log diff ls show plan doctor snapshots' --long-option json -d 'for programs'
complete --command nbs --condition '__nbs_verb_is ls snapshots' --long-option names -d 'names alone, one a line'
complete --command nbs --condition '__nbs_verb_is plan' --long-option calls -d 'the system calls'
complete --command nbs --condition '__nbs_verb_is plan' --long-option diff --require-parameter --arguments '(__nbs_builds)' -d 'compare with another build'
complete --command nbs --condition '__nbs_verb_is build' --long-option no-enter -d 'print the command that would enter'
complete --command nbs --condition '__nbs_verb_is build' --long-option notebook -d 'a notebook in the place of a shell'
complete --command nbs --condition '__nbs_verb_is notebook' --long-option no-open -d 'write the file, and no more'
complete --command nbs --condition '__nbs_verb_is notebook' --long-option force -d 'write over a file that is there'
complete --command nbs --condition '__nbs_wants_notebook' --arguments '(__fish_complete_suffix .ipynb)'
complete --command nbs --condition '__nbs_verb_is report' --long-option output --short-option o --require-parameter --force-files -d 'the page'
complete --command nbs --condition '__nbs_verb_is diff' --long-option stat -d 'the summary alone'
complete --command nbs --condition '__nbs_verb_is diff' --long-option names -d 'the names alone'
complete --command nbs --condition '__nbs_verb_is diff' --long-option no-pager -d 'not through the pager'
complete --command nbs --condition '__nbs_verb_is diff' --long-option color --exclusive --arguments 'auto always never' -d 'when to use colour'
complete --command nbs --condition '__nbs_verb_is diff' --long-option exact -d 'unpack the source again, to know it'
complete --command nbs --condition '__nbs_verb_is patch' --long-option quick -d 'do not unpack the source again'
complete --command nbs --condition '__nbs_verb_is diff patch' --long-option since --exclusive -d 'the snapshot to compare with'
complete --command nbs --condition '__nbs_verb_is diff patch' --long-option all -d 'what the build made, too'
complete --command nbs --condition '__nbs_verb_is patch' --long-option exclude --exclusive -d 'without such files'
complete --command nbs --condition '__nbs_verb_is patch' --long-option output --short-option o --require-parameter --force-files -d 'the file to write'
complete --command nbs --condition '__nbs_verb_is patch' --long-option nix -d 'the line for the recipe'
complete --command nbs --condition '__nbs_verb_is patch' --long-option source-root --exclusive -d 'relative to the build tree'
complete --command nbs --condition '__nbs_verb_is log' --long-option errors -d 'the first error alone'
complete --command nbs --condition '__nbs_verb_is log' --long-option phase --exclusive --arguments 'unpackPhase patchPhase configurePhase buildPhase checkPhase installPhase fixupPhase installCheckPhase' -d 'only what this phase wrote'
complete --command nbs --condition '__nbs_verb_is log' --long-option file --exclusive --arguments 'CMakeError.log config.log meson-log.txt' -d 'a file that the log points to'
complete --command nbs --condition __nbs_kernel_no_action --arguments 'install list uninstall'
complete --command nbs --condition '__nbs_kernel_action uninstall' --arguments '(command nbs kernel list --names 2>/dev/null)'
complete --command nbs --condition '__nbs_kernel_action list' --long-option names -d 'names alone, one a line'
complete --command nbs --condition '__nbs_kernel_action install' --long-option user -d 'every Jupyter of this user'
complete --command nbs --condition '__nbs_kernel_action install' --long-option sys-prefix -d 'the Jupyter of this Python'
complete --command nbs --condition '__nbs_kernel_action install' --long-option prefix --exclusive --arguments '(__fish_complete_directories (commandline --current-token))' -d 'the Jupyter installed there'
complete --command nbs --condition '__nbs_kernel_action install' --long-option build --require-parameter --arguments '(__nbs_builds)' -d 'an entry for one build'
complete --command nbs --condition '__nbs_kernel_action install' --long-option store --exclusive --arguments '(__fish_complete_directories (commandline --current-token))' -d 'the store of the build'
complete --command nbs --condition '__nbs_kernel_action install' --long-option name --exclusive -d "the kernel's name"
complete --command nbs --condition '__nbs_kernel_action install' --long-option display-name --exclusive -d 'what people see'
complete --command nbs --condition '__nbs_verb_is snapshot restore' --arguments '(command nbs snapshots --names 2>/dev/null)'
complete --command nbs --condition '__nbs_verb_is snapshot' --long-option remove -d 'remove a snapshot'
complete --command nbs --condition '__nbs_verb_is snapshot restore snapshots' --long-option ws --exclusive --arguments '(command nbs ws ls --names 2>/dev/null)' -d 'of this workspace'
complete --command nbs --condition '__nbs_verb_is cp' --long-option recursive --short-option r -d 'accepted, and always so'
complete --command nbs --condition '__nbs_verb_is cp' --force-files --arguments '(command nbs ls --names 2>/dev/null | string replace --regex \$ :)'
complete --command nbs --condition '__nbs_verb_is shell' --long-option ws --exclusive --arguments '(command nbs ws ls --names 2>/dev/null)' -d 'go on in a kept workspace'
complete --command nbs --condition '__nbs_verb_is shell' --long-option fork -d 'copy the workspace first'
complete --command nbs --condition '__nbs_verb_is shell' --long-option changed -d 'although its build was changed'
complete --command nbs --condition __nbs_ws_no_action --arguments 'ls path prune rm'
complete --command nbs --condition '__nbs_ws_action path rm' --arguments '(command nbs ws ls --names 2>/dev/null)'
complete --command nbs --condition '__nbs_ws_action ls' --long-option json -d 'for programs'
complete --command nbs --condition '__nbs_ws_action ls' --long-option names -d 'names alone, one a line'
complete --command nbs --condition '__nbs_ws_action prune' --long-option older-than --exclusive -d 'not used for so many days'
complete --command nbs --condition '__nbs_ws_action prune' --long-option larger-than --exclusive -d 'takes more on disk'
complete --command nbs --condition '__nbs_ws_action prune' --long-option total --exclusive -d 'until no more than that is left'
complete --command nbs --condition '__nbs_ws_action prune' --long-option unused -d 'its build is gone'
complete --command nbs --condition '__nbs_ws_action prune' --long-option dry-run -d 'only show what would go'
complete --command nbs --condition '__nbs_ws_action prune' --long-option yes -d 'do not ask'
complete --command nbs --condition '__nbs_verb_is demo' --long-option again -d 'build once more'

# What entering a sandbox, and describing it, have in common: a condition for each command.
function __nbs_complete_entering --argument-names command entering describing storing
    complete --command $command --condition $entering --long-option copy -d 'copy what was kept'
    complete --command $command --condition $entering --long-option sandboxed -d 'a sandbox although the build had none'
    complete --command $command --condition $entering --long-option unsandboxed -d "the host's files, as the build had them"
    complete --command $command --condition $entering --long-option whole-store -d 'the whole store, not the inputs alone'
    complete --command $command --condition $entering --long-option inputs --exclusive --arguments 'ro rw' -d 'may inputs be written'
    complete --command $command --condition $describing --long-option derivation --require-parameter --force-files -d 'the derivation that was built'
    complete --command $command --condition $describing --long-option profile --exclusive --arguments '2.8 2.18 2.24 2.30 2.32 2.35 lix-2.94' -d 'the Nix whose sandbox is made'
    complete --command $command --condition $storing --long-option store --exclusive --arguments '(__fish_complete_directories (commandline --current-token))' -d 'the store of the build'
end

__nbs_complete_entering nbs '__nbs_verb_is build shell phase plan replay verify' '__nbs_verb_is build shell phase plan replay verify' '__nbs_verb_is build shell cp phase plan replay verify show ls log diff patch notebook console'
complete --command nbs --condition '__nbs_verb_is show' --long-option profile --exclusive --arguments '2.8 2.18 2.24 2.30 2.32 2.35 lix-2.94' -d 'the Nix whose sandbox is made'
complete --command nbs --condition '__nbs_verb_is show log notebook cp' --long-option derivation --require-parameter --force-files -d 'the derivation that was built'
__nbs_complete_entering nix-build-shell __nbs_wants_directory __nbs_wants_directory __nbs_wants_directory
functions --erase __nbs_complete_entering

complete --command nbs --condition '__nbs_verb_is build shell' --long-option with-tool --require-parameter --arguments '(__fish_complete_command)' -d 'a program of the host, for the word tool'
complete --command nix-build-shell --condition __nbs_wants_directory --long-option with-tool --require-parameter --arguments '(__fish_complete_command)' -d 'a program of the host, for the word tool'

complete --command nix-build-shell --no-files
complete --command nix-build-shell --condition __nbs_wants_directory --arguments '(__fish_complete_directories (commandline --current-token))' -d 'a kept directory'
complete --command nix-build-shell --condition __nbs_wants_directory --long-option help --short-option h -d 'how it is used'
complete --command nix-build-shell --condition __nbs_wants_directory --long-option version -d 'the version'
