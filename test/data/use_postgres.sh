#!/usr/bin/env bash
# Uses a PostgreSQL server through psql, and prints what its user sees, a line each, as
# use_postgres.py does.
set -uo pipefail

ask() { psql -X -A -t -v VERBOSITY=verbose -c "$1" 2>&1; }
# The server's own words, without libpq's before and behind them.
refusal() { "$@" 2>&1 | sed -n 's/.*FATAL:  //p' | head -n 1; }
try() { env "$@" psql -X -c 'SELECT 1'; }

echo "query $(ask 'SELECT 6 * 7')"
echo "wrong key $(refusal try PGPASSWORD=v2_wrong)"
echo "unknown database $(refusal try PGDATABASE=local/none)"
case $(refusal try PGSSLMODE=disable) in
    *'over TLS only'* | *'no encryption'*) echo 'no TLS TLS' ;;
    *) echo 'no TLS let in' ;;
esac
[[ $(try PGSSLROOTCERT="$STRANGER" 2>&1) == *'certificate verify failed'* ]] && echo 'untrusted True'

sleeper='SELECT pg_sleep(50)'
coproc RUNNING { ask "$sleeper"; }
running=$RUNNING_PID
exec 5<&"${RUNNING[0]}"  # bash forgets its own once it has ended
until [[ $(ask "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND query = '$sleeper'") == 1 ]]; do :; done
pkill -INT -P "$running" -x psql
echo "cancelled $(grep -o 'ERROR:  [0-9]*' <&5)"
exec 5<&-
wait

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap '' PIPE
mkfifo "$place/in"
: >"$place/out"
psql -X -A -t -v VERBOSITY=verbose <"$place/in" >"$place/out" 2>&1 &
exec 4>"$place/in"
echo 'SELECT pg_backend_pid();' >&4
until read -r pid <"$place/out"; do :; done
until [[ $(ask "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") == 0 ]]; do :; done
echo 'SELECT 1;' >&4 || true
exec 4>&-
wait
# Where in its source PostgreSQL says it, only PostgreSQL itself knows.
echo "idle $(tail -n +2 "$place/out" | grep -v '^LOCATION' | tr '\n' ' ')"

echo 'now sleep'
cat
echo "woken $(ask 'SELECT 6 * 7')"
