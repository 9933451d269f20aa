// A round trip of clickhouse-go, by HTTP and by the native protocol. CLICKHOUSE_ADDRESS and CLICKHOUSE_NATIVE are host:port.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

type row struct {
	N    uint64    `ch:"n"`
	ID   uuid.UUID `ch:"id"`
	At   time.Time `ch:"at"`
	Tags []string  `ch:"tags"`
	Kind string    `ch:"kind"`
	Note *string   `ch:"note"`
	Raw  string    `ch:"raw"`
}

func main() {
	for protocol, variable := range map[clickhouse.Protocol]string{clickhouse.HTTP: "CLICKHOUSE_ADDRESS", clickhouse.Native: "CLICKHOUSE_NATIVE"} {
		for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4} {
			open := func(user clickhouse.Auth, settings clickhouse.Settings) clickhouse.Conn {
				client, err := clickhouse.Open(&clickhouse.Options{
					Protocol:    protocol,
					Addr:        []string{os.Getenv(variable)},
					Auth:        user,
					Settings:    settings,
					Compression: &clickhouse.Compression{Method: method},
				})
				must(err)
				return client
			}
			roundTrip(open(clickhouse.Auth{Database: "eye_test", Username: "writer", Password: os.Getenv("CLICKHOUSE_PASSWORD")}, nil))
			analyst(open(clickhouse.Auth{Database: "eye", Username: "analyst"}, nil))
		}
	}
}

// An analyst may change next to no setting.
func analyst(client clickhouse.Conn) {
	// So long Grafana waits; the driver makes max_execution_time of it.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer client.Close()
	must(client.Ping(ctx))
	ctxp := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"n": "2"}))
	var number uint64
	must(client.QueryRow(ctxp, "SELECT a FROM numbers_of WHERE a = {n:UInt64}").Scan(&number))
	expect(number == 2, "parameter: %d", number)
	err := client.Exec(ctx, "SELECT * FROM eye_test.go")
	expect(err != nil && strings.Contains(err.Error(), "Not enough privileges"), "error: %v", err)
}

func roundTrip(client clickhouse.Conn) {
	ctx := context.Background()
	defer client.Close()
	must(client.Ping(ctx))
	must(client.Exec(ctx, "DROP TABLE IF EXISTS go"))
	must(client.Exec(ctx, `CREATE TABLE go (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String),
		kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n`))

	note := "a note"
	written := []row{
		{1, uuid.New(), time.Date(2021, 1, 1, 9, 15, 27, 243860000, time.UTC), []string{"a", "é"}, "x", &note, "nul\x00\xff'\n"},
		{2, uuid.New(), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), []string{}, "y", nil, ""},
	}
	batch, err := client.PrepareBatch(ctx, "INSERT INTO go")
	must(err)
	for i := range written {
		must(batch.AppendStruct(&written[i]))
	}
	must(batch.Send())
	var read []row
	must(client.Select(ctx, &read, "SELECT n, id, at, tags, kind, note, raw FROM go ORDER BY n"))
	expect(reflect.DeepEqual(read, written), "rows differ: %v %v", read, written)

	// Parameters.
	ctxp := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"n": "2"}))
	var kind string
	must(client.QueryRow(ctxp, "SELECT kind FROM go WHERE n = {n:UInt64}").Scan(&kind))
	expect(kind == "y", "parameter: %s", kind)

	// An error keeps its code.
	err = client.Exec(ctx, "SELECT bad")
	expect(err != nil && strings.Contains(err.Error(), "Unknown expression identifier"), "error: %v", err)

	// A large streamed result, and leaving in the middle.
	rows, err := client.Query(ctx, "SELECT number FROM numbers(2000000)")
	must(err)
	var number, count, sum uint64
	for rows.Next() {
		must(rows.Scan(&number))
		count, sum = count+1, sum+number
	}
	must(rows.Err())
	expect(count == 2000000 && sum == 1999999000000, "stream: %d %d", count, sum)
	cancelled, cancel := context.WithCancel(ctx)
	rows, err = client.Query(cancelled, "SELECT number FROM numbers(1000000000)")
	must(err)
	expect(rows.Next(), "no row")
	cancel()
	rows.Close()
	var one uint8
	must(client.QueryRow(ctx, "SELECT 1").Scan(&one))
	expect(one == 1, "after leaving")
}

func must(err error) {
	if err != nil {
		var exception *clickhouse.Exception
		if errors.As(err, &exception) {
			log.Fatalf("code %d: %v", exception.Code, err)
		}
		log.Fatal(err)
	}
}

func expect(ok bool, format string, values ...any) {
	if !ok {
		log.Fatalf(format, values...)
	}
}
