// SPDX-License-Identifier: Apache-2.0

package clickhouse

// Names of tables. The first three are spread over the shards of a cluster, the
// others are small enough to be whole on every server.
const (
	tableSamples     = "samples"
	tableMinutes     = "samples_1m"
	tableHours       = "samples_1h"
	tableBatches     = "batches"
	tableLedgers     = "ledgers"
	tableTouches     = "touches"
	tableSeals       = "seals"
	tableState       = "state"
	tableSettings    = "settings"
	tableStacks      = "stacks"
	tableSymbols     = "symbols"
	tableExecutables = "executables"
	tableHosts       = "hosts"
	tableMetrics     = "metrics"
	tableMigrations  = "migrations"
	tableEpoch       = "epoch"
)

// column is a column of a table: its type and codec, and what stands in for them
// on the server of the tests ("" if it is the same).
type column struct {
	name            string
	current, legacy text
}

// table describes a table; the statement that makes it depends on the dialect
// and on whether there is a cluster.
type table struct {
	name    string
	columns []column
	// engine is the family, such as "Replacing"; version the column that decides.
	engine, legacyEngine text
	version              text
	partition            text
	legacyPartition      text
	order, legacyOrder   text
	granularity          text // "": the server's default
	settings             text
	ttl                  text
	sharded              bool
}

// Short forms of types.
const (
	typeName  text = "LowCardinality(String) CODEC(ZSTD(1))"
	typeHash  text = "FixedString(16) CODEC(ZSTD(1))"
	typeStack text = "LowCardinality(FixedString(16)) CODEC(ZSTD(1))"
	// Delta has no use for these: they are sorted by other columns first.
	typeInt64  text = "Int64 CODEC(T64, ZSTD(1))"
	typeUInt64 text = "UInt64 CODEC(T64, ZSTD(1))"
	typeUInt32 text = "UInt32 CODEC(T64, ZSTD(1))"
	// Expired data goes as whole parts; a changed retention reads only the times.
	ttlSettings text = "ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1"
	typeSum     text = "SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1))"
)

// seriesColumns are those that name a series, in the order of [store.Series].
var seriesColumns = []column{
	{"project", typeName, "String"},
	{"type", "UInt8", "UInt8"},
	{"service", typeName, "String"},
	{"host_id", typeName, "String"},
	{"host", typeName, "String"},
	{"namespace", typeName, "String"},
	{"pod", typeName, "String"},
	{"container_id", typeName, "String"},
	{"container", typeName, "String"},
	{"process", typeName, "String"},
	{"executable", typeName, "String"},
	{"comm", typeName, "String"},
	{"pid", typeUInt32, "UInt32"},
	{"process_start", typeUInt64, "UInt64"},
	{"tid", typeUInt32, "UInt32"},
}

// concat returns the columns of several lists.
func concat(lists ...[]column) []column {
	var all []column
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// labelColumns keep the labels that have no column of their own.
func labelColumns(legacy bool) []column {
	if legacy {
		return []column{{"label_names", "", "Array(String)"}, {"label_values", "", "Array(String)"}}
	}
	return []column{{"labels", "Map(LowCardinality(String), String) CODEC(ZSTD(1))", ""}}
}

// rollUp returns a table of sums.
func rollUp(name string, partition, legacyPartition text) table {
	return table{
		name: name,
		columns: []column{
			{"project", typeName, "String"},
			{"type", "UInt8", "UInt8"},
			{"service", typeName, "String"},
			{"bucket", "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))", "Int64"},
			{"host", typeName, "String"},
			{"host_id", typeName, "String"},
			{"stack", typeStack, "FixedString(16)"},
			{"count", typeSum, "Int64"},
			{"value", typeSum, "Int64"},
		},
		engine: "Aggregating", legacyEngine: "Summing",
		partition: partition, legacyPartition: legacyPartition,
		order:    "project, type, service, bucket, host, host_id, stack",
		settings: ttlSettings, sharded: true,
	}
}

// tables lists all tables but those of migrations and of the epoch.
func tables(legacy bool) []table {
	return []table{
		{
			name: tableSamples,
			columns: concat(seriesColumns, labelColumns(legacy), []column{
				{"ts", "DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))", "Int64"},
				{"stack", typeStack, "FixedString(16)"},
				{"count", typeInt64, "Int64"},
				{"value", typeInt64, "Int64"},
				{"trace_id", typeHash, "FixedString(16)"},
				{"span_id", "FixedString(8) CODEC(ZSTD(1))", "FixedString(8)"},
				// ins is the insert that the row came with; see doc.go.
				{"ins", typeUInt64, "UInt64"},
			}),
			partition: "project, toDate(ts)", legacyPartition: "project, intDiv(ts, 86400000)",
			order:       "project, type, service, toStartOfInterval(ts, INTERVAL 10 MINUTE), host, pod, comm, stack, ts",
			legacyOrder: "project, type, service, intDiv(ts, 600000), host, pod, comm, stack, ts",
			settings:    ttlSettings, sharded: true,
		},
		rollUp(tableMinutes, "project, toDate(bucket)", "project, intDiv(bucket, 86400000)"),
		rollUp(tableHours, "project, toYYYYMM(bucket)", "project, intDiv(bucket, 2592000000)"),
		{
			name: tableBatches,
			columns: []column{
				{"kind", "UInt8", ""},
				{"project", typeName, "String"},
				{"type", "UInt8", ""},
				{"host", typeName, "String"},
				{"run", typeHash, "FixedString(16)"},
				{"sequence", typeUInt64, "UInt64"},
				{"ins", typeUInt64, "UInt64"},
				{"state", "UInt8", ""},
				{"weight", typeUInt64, "UInt64"},
				{"alone", "UInt8", ""},
				{"first", typeInt64, "Int64"},
				{"last", typeInt64, "Int64"},
				{"owner", typeHash, "FixedString(16)"},
				{"time", "DateTime('UTC') DEFAULT now()", "DateTime DEFAULT now()"},
			},
			partition: "toDate(time)", order: "kind, project, type, host, run, sequence, ins, state",
			granularity: "1024", ttl: "time + toIntervalDay(30)", settings: ttlSettings,
		},
		{
			name: tableLedgers,
			columns: []column{
				{"project", typeName, "String"},
				{"host", typeName, "String"},
				{"run", typeHash, "FixedString(16)"},
				{"day", "UInt16", ""},
				{"stored", "UInt64", ""},
				{"last", "Int64", ""},
			},
			engine: "Replacing", partition: "project", order: "project, host, run, day",
			ttl: "toDate(day) + toIntervalDay(400)",
		},
		{
			name:      tableTouches,
			columns:   []column{{"project", typeName, "String"}, {"hour", "Int64", ""}, {"ins", "UInt64", ""}},
			engine:    "Replacing",
			partition: "intDiv(hour, 720)", order: "project, hour, ins",
		},
		{
			name:      tableSeals,
			columns:   []column{{"project", typeName, "String"}, {"hour", "Int64", ""}, {"touches", "UInt64", ""}},
			engine:    "Replacing",
			version:   "touches",
			partition: "intDiv(hour, 720)", order: "project, hour",
		},
		{
			name:    tableState,
			columns: []column{{"name", "String", ""}, {"value", "Int64", ""}},
			engine:  "Replacing", version: "value", order: "name",
		},
		{
			name:    tableSettings,
			columns: []column{{"name", "String", ""}, {"value", "String", ""}, {"version", "UInt64", ""}},
			engine:  "Replacing", version: "version", order: "name",
		},
		{
			name: tableStacks,
			columns: []column{
				{"project", typeName, "String"},
				{"stack", typeHash, "FixedString(16)"},
				{"frame_type", "Array(UInt8) CODEC(ZSTD(1))", "Array(UInt8)"},
				{"file", "Array(FixedString(16)) CODEC(ZSTD(1))", "Array(FixedString(16))"},
				{"address", "Array(UInt64) CODEC(ZSTD(1))", "Array(UInt64)"},
				{"function", "Array(String) CODEC(ZSTD(1))", "Array(String)"},
				{"source", "Array(String) CODEC(ZSTD(1))", "Array(String)"},
				{"line", "Array(UInt64) CODEC(ZSTD(1))", "Array(UInt64)"},
				{"version", typeUInt64, "UInt64"},
			},
			engine: "Replacing", version: "version", partition: "project", order: "project, stack", granularity: "1024",
		},
		{
			name: tableSymbols,
			columns: []column{
				{"project", typeName, "String"},
				{"file", typeHash, "FixedString(16)"},
				{"address", typeUInt64, "UInt64"},
				{"function", "Array(String) CODEC(ZSTD(1))", "Array(String)"},
				{"system_name", "Array(String) CODEC(ZSTD(1))", "Array(String)"},
				{"source", "Array(String) CODEC(ZSTD(1))", "Array(String)"},
				{"line", "Array(UInt64) CODEC(ZSTD(1))", "Array(UInt64)"},
				{"start_line", "Array(UInt64) CODEC(ZSTD(1))", "Array(UInt64)"},
				// version has its highest bit set in a name that is no fallback.
				{"version", typeUInt64, "UInt64"},
			},
			engine: "Replacing", version: "version", partition: "project", order: "project, file, address", granularity: "1024",
		},
		{
			name: tableExecutables,
			columns: []column{
				{"project", typeName, "String"},
				{"file", typeHash, "FixedString(16)"},
				{"name", "String CODEC(ZSTD(1))", "String"},
				{"build_id", "String CODEC(ZSTD(1))", "String"},
				{"runtime", typeName, "String"},
				{"version", typeUInt64, "UInt64"},
			},
			engine: "Replacing", version: "version", partition: "project", order: "project, file", granularity: "1024",
		},
		{
			name: tableHosts,
			columns: []column{
				{"project", typeName, "String"},
				{"host_id", "String", ""},
				{"name", "String", ""},
				{"last_seen", "Int64", ""},
				{"metadata_names", "Array(String)", ""},
				{"metadata_values", "Array(String)", ""},
				{"version", typeUInt64, "UInt64"},
			},
			engine: "Replacing", version: "version", partition: "project", order: "project, host_id", granularity: "1024",
		},
		{
			name: tableMetrics,
			columns: []column{
				{"project", typeName, "String"},
				{"host_id", typeName, "String"},
				{"id", "UInt32", ""},
				{"time", "DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))", "DateTime"},
				{"value", typeInt64, "Int64"},
				{"version", typeUInt64, "UInt64"},
			},
			engine: "Replacing", version: "version", partition: "project, toYYYYMM(time)", order: "project, host_id, id, time",
			ttl: "time + toIntervalDay(90)", settings: ttlSettings,
		},
	}
}

// views are what fills the roll-ups: the width of their buckets, as the
// start of the bucket that a row of samples belongs to.
var views = []struct {
	name, target    string
	current, legacy text
}{
	{"samples_to_1m", tableMinutes, "toStartOfMinute(toDateTime(ts, 'UTC'))", "intDiv(ts, 60000) * 60000"},
	{"samples_to_1h", tableHours, "toStartOfHour(toDateTime(ts, 'UTC'))", "intDiv(ts, 3600000) * 3600000"},
}
