// SPDX-License-Identifier: Apache-2.0

package auth

// Access says who may use an RPC or a route. The zero value allows nobody.
type Access struct {
	// Role that a token needs.
	Role Roles
	// Any is set when a token with any role will do.
	Any bool
	// ServerWide is set when the token must be one of all projects, because the
	// answer is about more than one.
	ServerWide bool
	// Tenant is set when the header X-Scope-OrgID of Pyroscope's clients chooses the project too,
	// where the token may choose and nothing else does.
	Tenant bool
	// Open is the reason why no token is needed.
	Open string
}

// denied reports whether nobody may.
func (a Access) denied() bool { return a.Open == "" && !a.Any && a.Role == 0 }

// Policy is the table of what is needed for what. What is not in it is denied.
type Policy struct {
	// RPCs by full method, /package.Service/Method.
	RPCs map[string]Access
	// Routes by the pattern of the [net/http.ServeMux].
	Routes map[string]Access
}

const (
	openHealth = "load balancers and systemd ask it; it says nothing about the data"
	openStatic = "files of the page, the same for everybody"
	openLogin  = "this is where a token is given"
)

// DefaultPolicy returns the policy of the collection agent.
func DefaultPolicy() Policy {
	var (
		sends  = Access{Role: RoleIngest}
		asks   = Access{Role: RoleQuery}
		tenant = Access{Role: RoleQuery, Tenant: true}
		admin  = Access{Role: RoleAdmin}
		inside = Access{Role: RoleAdmin, ServerWide: true}
		health = Access{Open: openHealth}
		static = Access{Open: openStatic}
	)
	return Policy{
		RPCs: map[string]Access{
			"/collectionagent.v1.CollectionAgent/GetServerInfo":         sends,
			"/collectionagent.v1.CollectionAgent/AddCountsForTraces":    sends,
			"/collectionagent.v1.CollectionAgent/SetFramesForTraces":    sends,
			"/collectionagent.v1.CollectionAgent/AddFrameMetadata":      sends,
			"/collectionagent.v1.CollectionAgent/AddFallbackSymbols":    sends,
			"/collectionagent.v1.CollectionAgent/AddExecutableMetadata": sends,
			"/collectionagent.v1.CollectionAgent/ReportHostMetadata":    sends,
			"/collectionagent.v1.CollectionAgent/AddMetrics":            sends,
			"/collectionagent.v1.CollectionAgent/ReportStatus":          sends,

			"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export": sends,
			"/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw":                    sends,

			"/grpc.health.v1.Health/Check": health,
			"/grpc.health.v1.Health/List":  health,
			"/grpc.health.v1.Health/Watch": health,

			"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {Any: true},
			"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {Any: true},
		},
		Routes: map[string]Access{
			"GET /-/healthy": health,
			"GET /-/ready":   health,
			"GET /healthz":   health,
			"GET /ready":     health,

			// Metrics are about all projects, but tell no more than numbers.
			"GET /metrics":         {Role: RoleQuery, ServerWide: true},
			"/debug/pprof/":        inside,
			"/debug/pprof/cmdline": inside,
			"/debug/pprof/profile": inside,
			"/debug/pprof/symbol":  inside,
			"/debug/pprof/trace":   inside,

			"GET /{$}":        static,
			"GET /index.html": static,
			"GET /icon.svg":   static,
			"GET /assets/":    static,
			"GET /login":      {Open: openLogin},
			"POST /login":     {Open: openLogin},
			"POST /logout":    {Any: true},

			"POST /v1development/profiles":     sends,
			"POST /ingest":                     sends,
			"POST /push.v1.PusherService/Push": sends,
			"POST /api/v1/upload":              sends,

			"GET /api/v1/whoami":           {Any: true},
			"GET /api/v1/tokens":           admin,
			"DELETE /api/v1/data":          admin,
			"/api/v1/flamegraph":           asks,
			"/api/v1/top":                  asks,
			"/api/v1/folded":               asks,
			"/api/v1/pprof":                asks,
			"/api/v1/timeline":             asks,
			"/api/v1/diff":                 asks,
			"/api/v1/sandwich":             asks,
			"/api/v1/lines":                asks,
			"/api/v1/heatmap":              asks,
			"/api/v1/tracks":               asks,
			"/api/v1/exemplars":            asks,
			"/api/v1/executables":          asks,
			"/api/v1/events":               asks,
			"/api/v1/totals":               asks,
			"/api/v1/types":                asks,
			"/api/v1/series":               asks,
			"/api/v1/labels":               asks,
			"/api/v1/labels/{name}/values": asks,
			"/api/v1/status":               asks,
			"/api/v1/openapi.json":         asks,
			"/api/v1/hosts":                asks,
			"/api/v1/ledger":               asks,
			"/api/v1/targets":              asks,
			"POST /querier.v1.QuerierService/ProfileTypes":           tenant,
			"POST /querier.v1.QuerierService/LabelNames":             tenant,
			"POST /querier.v1.QuerierService/LabelValues":            tenant,
			"POST /querier.v1.QuerierService/Series":                 tenant,
			"POST /querier.v1.QuerierService/SelectMergeStacktraces": tenant,
			"POST /querier.v1.QuerierService/SelectMergeSpanProfile": tenant,
			"POST /querier.v1.QuerierService/SelectMergeProfile":     tenant,
			"POST /querier.v1.QuerierService/SelectSeries":           tenant,
			"POST /querier.v1.QuerierService/SelectHeatmap":          tenant,
			"POST /querier.v1.QuerierService/Diff":                   tenant,
			"POST /querier.v1.QuerierService/GetProfileStats":        tenant,
			"POST /querier.v1.QuerierService/AnalyzeQuery":           tenant,
			"GET /pyroscope/render":                                  tenant,
			"GET /pyroscope/render-diff":                             tenant,
			"GET /pyroscope/label-values":                            tenant,

			"/api/v1/": {Any: true}, // says that there is no such endpoint
		},
	}
}
