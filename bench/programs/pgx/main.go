// pgx by the contract.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	selectAccount = "SELECT name, balance FROM account WHERE id = $1"
	updateAccount = "UPDATE account SET seen = seen + 1 WHERE id = $1"
	selectEntries = "SELECT id, label, amount FROM entry"
	makeSink      = "CREATE TEMPORARY TABLE sink (id int, label text, amount double precision)"
	sumSink       = "SELECT (sum(id) + sum(length(label)) + sum(amount * 2))::bigint FROM sink"
	rows          = 1_000_000
)

type keys struct{ state int64 }

func (k *keys) next() int32 {
	k.state = k.state * 48271 % 2147483647
	return int32(k.state%100_000) + 1
}

func keysOf(seed int64) *keys { return &keys{seed%2147483646 + 1} }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(pool *pgxpool.Pool, key int32) uint64 {
	var name string
	var balance int64
	check(pool.QueryRow(context.Background(), selectAccount, key).Scan(&name, &balance))
	return uint64(balance) + uint64(len(name))
}

func processor() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func peakMemory() int {
	said, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(said), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kibibytes, _ := strconv.Atoi(fields[1])
			return kibibytes
		}
	}
	return 0
}

type entries struct{ at int32 }

func (e *entries) Next() bool { e.at++; return e.at <= rows }
func (e *entries) Err() error { return nil }
func (e *entries) Values() ([]interface{}, error) {
	return []interface{}{e.at, "label-" + strconv.Itoa(int(e.at%1000)), float64(e.at) * 0.5}, nil
}

func main() {
	ctx := context.Background()
	workload, dsn := os.Args[1], os.Args[2]
	connections, _ := strconv.Atoi(os.Args[3])
	tasks, _ := strconv.Atoi(os.Args[4])
	seconds, _ := strconv.ParseFloat(os.Args[5], 64)
	threads := 1
	if len(os.Args) > 6 {
		threads, _ = strconv.Atoi(os.Args[6])
	}
	switch workload {
	case "select", "batch-once", "transaction", "acquire", "stream", "copy-in":
	default:
		os.Exit(3)
	}
	// The processors for Go's code; the poller and the collector of garbage share them.
	runtime.GOMAXPROCS(threads)

	config, err := pgxpool.ParseConfig(dsn)
	check(err)
	config.MaxConns = int32(connections)
	config.MinConns = int32(connections)
	pool, err := pgxpool.ConnectConfig(ctx, config)
	check(err)
	defer pool.Close()

	var sum uint64
	first := keysOf(12345)
	firsts := 1000
	if said := os.Getenv("BENCH_FIRST"); said != "" {
		firsts, _ = strconv.Atoi(said)
	}
	for i := 0; i < firsts; i++ {
		sum += ask(pool, first.next())
	}

	used, began := processor(), time.Now()
	until := began.Add(time.Duration(seconds * float64(time.Second)))
	var times []float64
	count := 0
	if workload == "stream" || workload == "copy-in" {
		for {
			now := time.Now()
			one, err := pool.Acquire(ctx)
			check(err)
			if workload == "stream" {
				sum = 0
				answer, err := one.Query(ctx, selectEntries)
				check(err)
				for answer.Next() {
					var id int32
					var label string
					var amount float64
					check(answer.Scan(&id, &label, &amount))
					sum += uint64(id) + uint64(len(label)) + uint64(amount*2)
				}
				check(answer.Err())
			} else {
				_, err = one.Exec(ctx, "DROP TABLE IF EXISTS sink")
				check(err)
				_, err = one.Exec(ctx, makeSink)
				check(err)
				_, err = one.CopyFrom(ctx, pgx.Identifier{"sink"}, []string{"id", "label", "amount"}, &entries{})
				check(err)
				check(one.QueryRow(ctx, sumSink).Scan(&sum))
			}
			one.Release()
			times = append(times, time.Since(now).Seconds())
			count += rows
			if !time.Now().Before(until) {
				break
			}
		}
	} else {
		running := tasks
		size := tasks / connections
		if workload == "batch-once" {
			running = connections
		}
		parts := make([][]float64, running)
		var all sync.WaitGroup
		for task := 0; task < running; task++ {
			all.Add(1)
			go func(task int) {
				defer all.Done()
				key := keysOf(int64(task))
				own := int32(task) + 1
				for now := time.Now(); now.Before(until); {
					switch workload {
					case "select":
						ask(pool, key.next())
					case "acquire":
						one, err := pool.Acquire(ctx)
						check(err)
						one.Release()
						if tasks > 1 {
							// A task that never waits would let no other run.
							runtime.Gosched()
						}
					case "transaction":
						check(pool.BeginFunc(ctx, func(open pgx.Tx) error {
							if _, err := open.Exec(ctx, updateAccount, own); err != nil {
								return err
							}
							var name string
							var balance int64
							return open.QueryRow(ctx, selectAccount, own).Scan(&name, &balance)
						}))
					default:
						// A batch has one sync.
						batch := &pgx.Batch{}
						for i := 0; i < size; i++ {
							batch.Queue(selectAccount, key.next())
						}
						answers := pool.SendBatch(ctx, batch)
						for i := 0; i < size; i++ {
							var name string
							var balance int64
							check(answers.QueryRow().Scan(&name, &balance))
						}
						check(answers.Close())
						took := time.Since(now).Seconds()
						for i := 1; i < size; i++ {
							parts[task] = append(parts[task], took)
						}
					}
					then := time.Now()
					parts[task] = append(parts[task], then.Sub(now).Seconds())
					now = then
				}
			}(task)
		}
		all.Wait()
		for _, part := range parts {
			times = append(times, part...)
		}
		count = len(times)
	}
	took := time.Since(began).Seconds()
	cpu := processor() - used
	sort.Float64s(times)
	at := func(share float64) float64 {
		if len(times) == 0 {
			return 0
		}
		index := int(share * float64(len(times)))
		if index >= len(times) {
			index = len(times) - 1
		}
		return times[index] * 1e6
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"operations": count, "seconds": took, "cpu": cpu, "p50": at(.5), "p90": at(.9),
		"p99": at(.99), "p999": at(.999), "errors": 0, "sum": sum,
		"peak": peakMemory(),
	}))
}
