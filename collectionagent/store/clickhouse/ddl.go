// SPDX-License-Identifier: Apache-2.0

package clickhouse

import "cmp"

// layout says where tables are and in which dialect statements are written.
type layout struct {
	database string
	cluster  string // "": a single server
	legacy   bool
}

// named writes the full name of a table or view.
func (l *layout) named(s *statement, name string) *statement {
	return s.ident(l.database).add(".").ident(name)
}

// table returns the full name of a table to read from and write to.
func (l *layout) table(name string) text {
	var s statement
	return l.named(&s, name).done()
}

// isSharded reports whether a table is spread over shards.
func isSharded(name string) bool {
	return name == tableSamples || name == tableMinutes || name == tableHours
}

// part returns the name of what a server holds of a table itself.
func (l *layout) part(name string) string {
	if l.cluster != "" && isSharded(name) {
		return name + "_local"
	}
	return name
}

// onCluster makes a statement run on all servers.
func (l *layout) onCluster(s *statement) *statement {
	if l.cluster != "" {
		s.add(" ON CLUSTER ").ident(l.cluster)
	}
	return s
}

// alter begins a statement that changes what all servers hold of a table.
func (l *layout) alter(name string) *statement {
	var s statement
	l.named(s.add("ALTER TABLE "), l.part(name))
	if l.legacy {
		// Replicas hand the change on to each other. With ON CLUSTER, version 18.16 looks
		// whether another replica has made it before it takes the lock, and not again with
		// it: two replicas in step make it both, the second stumbles over the note of the
		// first, and that ends its thread for statements ON CLUSTER for good.
		return &s
	}
	return l.onCluster(&s)
}

// engine writes the engine of a table.
func (l *layout) engine(s *statement, t *table) {
	family := t.engine
	if l.legacy {
		family = cmp.Or(t.legacyEngine, t.engine)
	}
	s.add(" ENGINE = ")
	if l.cluster == "" {
		s.add(family, "MergeTree(", t.version, ")")
		return
	}
	// The macros are those of the server. A table that is whole everywhere has one
	// path for all shards.
	path, replica := "/clickhouse/strobe/all/", "{shard}-{replica}"
	if t.sharded {
		path, replica = "/clickhouse/strobe/{shard}/", "{replica}"
	}
	s.add("Replicated", family, "MergeTree(").str(path + l.database + "/" + t.name).add(", ").str(replica)
	if t.version != "" {
		s.add(", ", t.version)
	}
	s.add(")")
}

// create returns the statement that makes a table.
func (l *layout) create(t *table) string {
	var s statement
	s.add("CREATE TABLE IF NOT EXISTS ")
	l.onCluster(l.named(&s, l.part(t.name))).add(" ")
	join(&s, t.columns, func(c column) {
		kind := c.current
		if l.legacy {
			kind = cmp.Or(c.legacy, c.current)
		}
		s.ident(c.name).add(" ", kind)
	})
	l.engine(&s, t)
	partition, order := t.partition, t.order
	if l.legacy {
		partition, order = cmp.Or(t.legacyPartition, t.partition), cmp.Or(t.legacyOrder, t.order)
	}
	if partition != "" {
		s.add(" PARTITION BY (", partition, ")")
	}
	s.add(" ORDER BY (", order, ")")
	if t.ttl != "" && !l.legacy {
		s.add(" TTL ", t.ttl)
	}
	s.add(" SETTINGS index_granularity = ", cmp.Or(t.granularity, "8192"))
	if t.settings != "" && !l.legacy {
		s.add(", ", t.settings)
	}
	return s.String()
}

// distribute returns the statement that makes the table that stands for the
// parts of a table on all shards.
func (l *layout) distribute(name string) string {
	var s statement
	s.add("CREATE TABLE IF NOT EXISTS ")
	l.onCluster(l.named(&s, name)).add(" AS ")
	l.named(&s, l.part(name)).add(" ENGINE = Distributed(").ident(l.cluster).add(", ").ident(l.database).add(", ").ident(l.part(name))
	return s.add(", cityHash64(service, host))").String()
}

// view returns the statement that makes a materialized view.
func (l *layout) view(i int) string {
	v := &views[i]
	bucket := v.current
	if l.legacy {
		bucket = v.legacy
	}
	var s statement
	s.add("CREATE MATERIALIZED VIEW IF NOT EXISTS ")
	l.onCluster(l.named(&s, v.name)).add(" TO ")
	l.named(&s, l.part(v.target)).add(" AS ", rollUpOf(bucket), " FROM ")
	l.named(&s, l.part(tableSamples))
	return s.add(" GROUP BY project, type, service, bucket, host, host_id, stack").String()
}

// rollUpOf returns the sums that a roll-up is made of.
func rollUpOf(bucket text) text {
	return "SELECT project, type, service, " + bucket +
		" AS bucket, host, host_id, stack, sum(count) AS count, sum(value) AS value"
}

// schema returns the statements that make all tables. Each may be repeated.
func (l *layout) schema() []string {
	var all []string
	list := tables(l.legacy)
	for i := range list {
		all = append(all, l.create(&list[i]))
	}
	for i := range views {
		all = append(all, l.view(i))
	}
	if l.cluster != "" {
		for _, name := range []string{tableSamples, tableMinutes, tableHours} {
			all = append(all, l.distribute(name))
		}
	}
	return all
}

// createDatabase returns the statement that makes the database.
func (l *layout) createDatabase() string {
	var s statement
	return l.onCluster(s.add("CREATE DATABASE IF NOT EXISTS ").ident(l.database)).String()
}

// createEpoch returns the statement that makes the table of the epoch. It is the
// default of a column: the server lets only one of several agents make a table,
// which a row in a table could not promise.
func (l *layout) createEpoch(epoch string) string {
	var s statement
	s.add("CREATE TABLE IF NOT EXISTS ")
	l.onCluster(l.named(&s, tableEpoch)).add(" (").ident("epoch").add(" String DEFAULT ").str(epoch)
	return s.add(") ENGINE = TinyLog").String()
}

// migrationsTable is the table of the versions of the schema that were applied.
var migrationsTable = table{
	name: tableMigrations,
	columns: []column{
		{"version", "UInt32", ""}, {"name", "String", ""}, {"time", "DateTime DEFAULT now()", ""},
	},
	engine: "Replacing", order: "version",
}
