# bash completion of ccserverctl
_ccserverctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local commands='status top log workers listeners pools stat metrics health wait reload reopen upgrade resize drain stop'
    case $previous in
    -c | --config) COMPREPLY=($(compgen -f -- "$word")) ; return ;;
    -p | --pid | -t | --timeout | -d | --delay | -n | --iterations) return ;;
    resize) COMPREPLY=($(compgen -W 'main' -- "$word")) ; return ;;
    wait) COMPREPLY=($(compgen -W '--ready' -- "$word")) ; return ;;
    esac
    local own=
    case " ${COMP_WORDS[*]:0:COMP_CWORD} " in
    *' status '*) own='-j --json' ;;
    *' top '*) own='-b --batch -d --delay -n --iterations' ;;
    *' log '*) own='-f --follow' ;;
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$own -c --config -p --pid -t --timeout -V --version -h --help" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$commands" -- "$word")) ;;
    esac
}
complete -F _ccserverctl ccserverctl
