#!/bin/bash
# Stop a ccserver gracefully: send SHUTDOWN to its line echo and print what comes back.
#
#   shutdown_ccserver.sh [HOST [PORT]]        127.0.0.1 9997 unless said otherwise
#
# Exit code 0: the server shuts down; 1: it refuses (see its key `shutdown_command`), or nobody listens; 64: wrong usage.
# With `off`, or from another machine, use the service manager, or send SIGTERM to the master.

[ -n "$BASH_VERSION" ] || exec bash "$0" "$@" # /dev/tcp is bash's

if [ $# -gt 2 ]; then
    echo "usage: shutdown_ccserver.sh [HOST [PORT]]" >&2
    exit 64
fi
host=${1:-127.0.0.1} port=${2:-9997}

if ! { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null; then
    echo "shutdown_ccserver.sh: nobody listens on $host:$port" >&2
    exit 1
fi
printf 'SHUTDOWN\r\n' >&3 2>/dev/null

# A server that shuts down acknowledges and closes. One that refuses says why, or waits for the next line.
acknowledged=no
while IFS= read -r -t 5 line <&3 || { status=$?; false; }; do
    line=${line%$'\r'}
    printf '%s\n' "$line"
    if [ "$line" != 'ccserver echo:SHUTDOWN' ]; then
        acknowledged=no
        break
    fi
    acknowledged=yes
done

# read has failed with 1 at the end of the stream, and with more than 128 when nothing came.
if [ $acknowledged = yes ] && [ "$status" = 1 ]; then
    exit 0
fi
echo "shutdown_ccserver.sh: $host:$port does not shut down" >&2
exit 1
