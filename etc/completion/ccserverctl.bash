# bash completion of ccserverctl

# First words of a table of the server that the line is about, below its heading; nothing when it does not answer.
_ccserverctl_names() {
    local i server=()
    for ((i = 1; i + 1 < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -c | --config | -p | --pid | -s | --socket) server=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    "${COMP_WORDS[0]}" "${server[@]}" -t 1 "$1" 2> /dev/null | awk -v first="$2" '
        NR > 1 && $1 == "durations" { exit }
        NR > 1 && $1 != first && (first == "id" || /^  [^ ]/) { print $1 }'
}

_ccserverctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local commands='status top log workers listeners queues pools stat metrics health wait reload reopen upgrade resize drain stop sessions kill restart disable enable set config'
    case $previous in
    -c | --config) COMPREPLY=($(compgen -f -- "$word")) ; return ;;
    -p | --pid | -t | --timeout | -d | --delay | -n | --iterations) return ;;
    -s | --socket) COMPREPLY=($(compgen -f -- "$word")) ; return ;;
    resize | restart | --pool) COMPREPLY=($(compgen -W "$(_ccserverctl_names pools pool)" -- "$word")) ; return ;;
    disable | enable | --listener) COMPREPLY=($(compgen -W "$(_ccserverctl_names listeners listener)" -- "$word")) ; return ;;
    drain) COMPREPLY=($(compgen -W "$(_ccserverctl_names workers worker)" -- "$word")) ; return ;;
    kill) COMPREPLY=($(compgen -W "$(_ccserverctl_names sessions id)" -- "$word")) ; return ;;
    --peer) return ;;
    set) COMPREPLY=($(compgen -W 'log_level' -- "$word")) ; return ;;
    log_level) COMPREPLY=($(compgen -W 'debug info notice warn error' -- "$word")) ; return ;;
    wait) COMPREPLY=($(compgen -W '--ready' -- "$word")) ; return ;;
    esac
    local own=
    case " ${COMP_WORDS[*]:0:COMP_CWORD} " in
    *' status '* | *' workers '* | *' listeners '* | *' queues '* | *' pools '* | *' health '*) own='-j --json' ;;
    *' top '*) own='-b --batch -d --delay -n --iterations' ;;
    *' log '*) own='-f --follow' ;;
    *' sessions '*) own='-j --json --pool --listener --peer' ;;
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$own -c --config -p --pid -s --socket -t --timeout -V --version -h --help" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$commands" -- "$word")) ;;
    esac
}
complete -F _ccserverctl ccserverctl
