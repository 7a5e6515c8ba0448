package config

import (
	"slices"
	"time"

	"sluice/internal/health"
	"sluice/internal/option"
	"sluice/internal/source"
)

// Names of options that this package itself looks at. The others are between the operator and the driver.
const (
	keyName         = "name"
	keyTenantName   = "tenant_name"
	keyType         = "type"
	keyInterval     = "interval"
	keyContentTypes = "content_types"
	keyStartTime    = "start_time"
	keyLogFilters   = "log_filters"
	keyEnabled      = "enabled"
	keyDirectoryID  = "directory_id"
	keySecondLook   = "second_look_percent"
	keyRunOn        = "run_on"
	keyURL          = "url"
)

const (
	second = 1
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// DefaultNodeGroup is the group of servers and connectors that name none.
const DefaultNodeGroup = "default"

// ServerOptions declares the keys at the top of sluice.yaml, apart from the groups and lists.
func ServerOptions() []option.Option {
	return []option.Option{
		{Name: "data", Type: option.File, Default: "./data", Help: "Folder of everything that the server keeps: state, journal, lake and the token of the command line."},
		{Name: "listen", Default: "127.0.0.1:8365", Example: "0.0.0.0:8365", Help: "Address and port of the API and the pages."},
		{
			Name: "state", Default: "sqlite", Example: "postgres://sluice:${file:/run/secrets/pg}@db.example/sluice",
			Help: "State database: sqlite (a file in the data folder) or a postgres:// URL.",
		},
		{
			Name: "journal", Default: "embedded", Example: "nats://nats-1.example:4222,nats-2.example:4222",
			Help: "Journal between collecting and storing: embedded, or the servers of a NATS cluster.",
		},
		{
			Name: "node_group", Default: DefaultNodeGroup, Example: "frankfurt",
			Help: "Group that this server belongs to: it runs the connectors whose run_on names it. With one file for several servers, each runs its own.",
		},
	}
}

// LakeOptions declares the keys of the group `lake` of sluice.yaml.
func LakeOptions() []option.Option {
	return []option.Option{
		{
			Name: "warehouse", Default: "local", Example: "s3://bucket/prefix",
			Help: "Where the tables are kept: local (in the data folder) or an s3://, azblob:// or gs:// URL.",
		},
		{
			Name: "retention", Type: option.Duration, Default: 365 * 24 * time.Hour, Min: day, Max: 100 * 365 * day,
			Help: "Age at which days of records are dropped.",
		},
		{
			Name: "commit_interval", Type: option.Duration, Default: 15 * time.Second, Min: second, Max: hour,
			Help: "Longest time between a record's arrival and the commit that makes it searchable.",
		},
	}
}

// CommonOptions declares the keys that every connector has, for connectors of the driver d. For the zero Properties
// the choices are open.
func CommonOptions(d source.Properties) []option.Option {
	types := []string{d.Type}
	if d.Type == "" {
		types = nil
	}
	return append([]option.Option{
		{Name: keyName, Required: true, Fixed: true, Example: "contoso-office365", Help: "Name of the connector, unique. Printable ASCII, at most 64 characters."},
		{
			Name: keyTenantName, Required: true, Fixed: true, Example: "Contoso",
			Help: "Your name for the Microsoft tenant; it is written into every record. Printable ASCII, at most 64 characters. One directory belongs to one tenant_name.",
		},
		{Name: keyType, Required: true, Fixed: true, Choices: types, Example: d.Type, Help: "Type of the connector: what it collects from."},
		{Name: keyInterval, Type: option.Duration, Default: 5 * time.Minute, Min: minute, Max: day, Help: "Time between two looks for new content."},
		{
			Name: keyContentTypes, Type: option.StringList, Default: slices.Clone(d.ContentTypes), Choices: d.ContentTypes,
			Help: "What to collect. Default: everything that the type offers.",
		},
		{
			Name: keyStartTime, Type: option.Time, Example: "2026-01-31T08:00:00Z",
			Help: "Time from which on content is collected. Default: set by the connector type, near the time of creation; Microsoft's own retention is the limit.",
		},
		{Name: keyLogFilters, Type: option.StringList, Example: "drop-noise", Help: "Names of the log filters that decide which records are kept; what they drop is counted by filter."},
		{
			Name: keySecondLook, Type: option.Int, Default: 1, Min: 0, Max: 100,
			Help: "Share of content that is read a second time an hour later, because Microsoft may serve it in part at first. When that ever brings more, all of the content type is read twice.",
		},
		{
			Name: keyRunOn, Default: DefaultNodeGroup, Example: "frankfurt",
			Help: "Group of servers that runs the connector: those with this node_group. (One choice in place of sensor, data processor and analyzer profile, which other products ask for.)",
		},
		{Name: keyEnabled, Type: option.Bool, Default: true, Help: "Whether the connector collects."},
	}, health.Options()...)
}

// ConnectorOptions declares every key of a connector of the driver d, in canonical order.
func ConnectorOptions(d source.Properties) []option.Option {
	return append(CommonOptions(d), d.Options...)
}

func optionNames(options []option.Option) []string {
	names := make([]string, len(options))
	for i, o := range options {
		names[i] = o.Name
	}
	return names
}

func findOption(options []option.Option, name string) (option.Option, bool) {
	i := slices.IndexFunc(options, func(o option.Option) bool { return o.Name == name })
	if i < 0 {
		return option.Option{}, false
	}
	return options[i], true
}

func typeNames(drivers []source.Properties) []string {
	names := make([]string, len(drivers))
	for i, d := range drivers {
		names[i] = d.Type
	}
	return names
}

func findDriver(drivers []source.Properties, typ string) (source.Properties, bool) {
	i := slices.IndexFunc(drivers, func(d source.Properties) bool { return d.Type == typ })
	if i < 0 {
		return source.Properties{}, false
	}
	return drivers[i], true
}
