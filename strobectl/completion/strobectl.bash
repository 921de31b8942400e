# SPDX-License-Identifier: Apache-2.0
# Completion of strobectl for bash.

_strobectl() {
    local line word text prefix quote='' i words=() found=()
    COMPREPLY=()
    # The line as it is: bash takes words apart at = and :, which labels are full of.
    line=${COMP_LINE:0:COMP_POINT}
    word=''
    local started='' c escaped=''
    for ((i = 0; i < ${#line}; i++)); do
        c=${line:i:1}
        if [[ -n $escaped ]]; then
            word+=$c escaped=''
        elif [[ $quote == "'" ]]; then
            if [[ $c == "'" ]]; then quote=''; else word+=$c; fi
        elif [[ $c == \\ ]]; then
            escaped=1 started=1
        elif [[ $quote == '"' ]]; then
            if [[ $c == '"' ]]; then quote=''; else word+=$c; fi
        elif [[ $c == "'" || $c == '"' ]]; then
            quote=$c started=1
        elif [[ $c == ' ' || $c == $'\t' ]]; then
            if [[ -n $started ]]; then words+=("$word"); fi
            word='' started=''
        else
            word+=$c started=1
        fi
    done
    words+=("$word")
    while IFS=$'\t' read -r text _; do
        if [[ $text == __files__ ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r text; do COMPREPLY+=("$text"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        elif [[ -n $text ]]; then
            found+=("$text")
        fi
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    # What bash takes for words of their own is not said again.
    prefix=''
    if [[ -z $quote ]]; then
        for c in = :; do
            if [[ $COMP_WORDBREAKS == *$c* && $word == *$c* && ${#word} -gt ${#prefix} ]]; then
                text=${word%"${word##*"$c"}"}
                if ((${#text} > ${#prefix})); then prefix=$text; fi
            fi
        done
    fi
    for text in "${found[@]}"; do
        text=${text#"$prefix"}
        if [[ -z $quote ]]; then printf -v text %q "$text"; fi
        COMPREPLY+=("$text")
    done
    # After a label comes its value.
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=\"] ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}

complete -o nosort -F _strobectl strobectl 2>/dev/null || complete -F _strobectl strobectl
