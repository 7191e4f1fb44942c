// The service of beast.cpp on net/http and pgx.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v4/pgxpool"
)

type account struct {
	ID      int32  `json:"id"`
	Name    string `json:"name"`
	Balance int64  `json:"balance"`
}

func main() {
	runtime.GOMAXPROCS(1)
	config, err := pgxpool.ParseConfig(os.Args[1])
	if err != nil {
		panic(err)
	}
	size, _ := strconv.Atoi(os.Args[2])
	config.MaxConns = int32(size)
	pool, err := pgxpool.ConnectConfig(context.Background(), config)
	if err != nil {
		panic(err)
	}
	handle := func(writer http.ResponseWriter, request *http.Request) {
		id, _ := strconv.Atoi(request.URL.Path[strings.LastIndex(request.URL.Path, "/")+1:])
		writer.Header().Set("Content-Type", "application/json")
		var answer interface{}
		switch {
		case request.Method == "POST":
			tag, err := pool.Exec(request.Context(), "UPDATE account SET seen = seen + 1 WHERE id = $1", int32(id))
			if err != nil {
				http.Error(writer, err.Error(), 500)
				return
			}
			answer = map[string]int64{"changed": tag.RowsAffected()}
		case strings.HasPrefix(request.URL.Path, "/accounts/"):
			rows, err := pool.Query(request.Context(), "SELECT id, name, balance FROM account WHERE id >= $1 ORDER BY id LIMIT 20", int32(id))
			if err != nil {
				http.Error(writer, err.Error(), 500)
				return
			}
			all := []account{}
			for rows.Next() {
				var one account
				if err := rows.Scan(&one.ID, &one.Name, &one.Balance); err != nil {
					http.Error(writer, err.Error(), 500)
					return
				}
				all = append(all, one)
			}
			answer = all
		default:
			var one account
			if err := pool.QueryRow(request.Context(), "SELECT id, name, balance FROM account WHERE id = $1", int32(id)).Scan(&one.ID, &one.Name, &one.Balance); err != nil {
				http.Error(writer, err.Error(), 500)
				return
			}
			answer = one
		}
		json.NewEncoder(writer).Encode(answer)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(handle)))
}
