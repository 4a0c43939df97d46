# bash completion of ccserverctl
_ccserverctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local commands='status top log workers listeners queues pools stat metrics health wait reload reopen upgrade resize drain stop sessions kill restart disable enable set config'
    case $previous in
    -c | --config) COMPREPLY=($(compgen -f -- "$word")) ; return ;;
    -p | --pid | -t | --timeout | -d | --delay | -n | --iterations) return ;;
    -s | --socket) COMPREPLY=($(compgen -f -- "$word")) ; return ;;
    resize | restart | --pool) COMPREPLY=($(compgen -W "$(${COMP_WORDS[0]} pools 2> /dev/null | awk 'NR > 1 { print $1 }')" -- "$word")) ; return ;;
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
