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
until [[ $(ask "SELECT count(*) FROM pg_stat_activity
        WHERE state = 'active' AND query = '$sleeper'") == 1 ]]; do :; done
pkill -INT -P "$RUNNING_PID" -x psql
echo "cancelled $(grep -o 'ERROR:  [0-9]*' <&"${RUNNING[0]}")"
wait

coproc IDLE { psql -X -A -t -v VERBOSITY=verbose 2>&1; }
echo 'SELECT pg_backend_pid();' >&"${IDLE[1]}"
read -r pid <&"${IDLE[0]}"
until [[ $(ask "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") == 0 ]]; do :; done
echo 'SELECT 1;' >&"${IDLE[1]}"
exec {IDLE[1]}>&-
echo "idle $(tr '\n' ' ' <&"${IDLE[0]}")"

echo 'now sleep'
cat
echo "woken $(ask 'SELECT 6 * 7')"
