#compdef strobectl
# SPDX-License-Identifier: Apache-2.0
# Completion of strobectl for zsh.

_strobectl() {
    local line text about files=0
    local -a texts shown open openshown args
    # The words up to the cursor, without quotes.
    args=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS=$'\t' read -r text about; do
        if [[ $text == __files__ ]]; then
            files=1
        elif [[ $text == *[=\"] ]]; then
            open+=("$text")
            openshown+=("$text")
        elif [[ -n $text ]]; then
            texts+=("$text")
            shown+=("${text}${about:+  -- $about}")
        fi
    done < <("${words[1]}" __complete -- "${args[@]}" 2>/dev/null)
    # What follows a label is its value, without a space.
    (( ${#open} )) && compadd -S '' -d openshown -a open
    (( ${#texts} )) && compadd -l -d shown -a texts
    (( files )) && _files
    return 0
}

if (( ! $+functions[compdef] )); then
    autoload -Uz compinit && compinit -D
fi
if [[ $funcstack[1] == _strobectl ]]; then
    _strobectl "$@"
else
    compdef _strobectl strobectl
fi
