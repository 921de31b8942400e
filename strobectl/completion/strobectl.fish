# SPDX-License-Identifier: Apache-2.0
# Completion of strobectl for fish.

function __strobectl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # Quotes that are open belong to the shell.
    set current (string replace -r '^[\'"]' '' -- $current)
    test -n "$current"; or set current ''
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        if test "$parts[1]" = __files__
            __fish_complete_path "$current"
        else if test -n "$parts[2]"
            printf '%s\t%s\n' $parts[1] $parts[2]
        else
            echo $parts[1]
        end
    end
end

complete -c strobectl -f -a '(__strobectl_complete)'
