package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/webhook"
)

// Server is the part of sluice.yaml that is about the server itself.
type Server struct {
	Data      string        // folder
	Listen    string        // host:port
	State     secret.Secret // "sqlite" or a postgres:// URL, which may carry a password
	Journal   secret.Secret // "embedded" or nats:// URLs separated by commas, which may carry credentials
	Lake      Lake
	NodeGroup string // connectors whose run_on is this one run here
	Secrets   Secrets
	Webhook   webhook.Config // listener for notifications of Microsoft; zero: off
}

// The embedded engines, as the values of Server.State, Server.Journal and Lake.Warehouse.
const (
	StateSQLite     = "sqlite"
	JournalEmbedded = "embedded"
	WarehouseLocal  = "local"
)

// Lake is the group `lake` of sluice.yaml.
type Lake struct {
	Warehouse      string // WarehouseLocal or a URL
	Retention      time.Duration
	CommitInterval time.Duration
}

// server reads the server's settings out of the top-level fields.
func (r *reader) server(root *yaml.Node, fields []field) Server {
	also := append(fileKeys(), listKeys()...)
	top := r.options(root, fields, "", ServerOptions(), also...)
	v := option.NewValues(ServerOptions(), top.values)
	r.checkListen(&top, v.String("listen"))
	r.checkLocator(&top, "state", v.String("state"), StateSQLite, "postgres", "postgresql")
	r.checkServers(&top, v.String("journal"))
	s := Server{
		Data:      v.String("data"),
		Listen:    v.String("listen"),
		NodeGroup: v.String("node_group"),
		State:     secret.New(v.String("state")),
		Journal:   secret.New(v.String("journal")),
	}
	group := func(key string) *yaml.Node {
		if n := top.nodes[key]; n != nil && !isNull(n) {
			return n
		}
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	s.Lake = r.lake(group(keyLake))
	s.Secrets = r.secrets(group(keySecrets))
	s.Webhook = r.webhook(group(keyWebhook))
	return s
}

func (r *reader) lake(n *yaml.Node) Lake {
	fields, ok := r.mapping(n, keyLake, "a group")
	if !ok {
		return Lake{}
	}
	e := r.options(n, fields, keyLake, LakeOptions())
	for _, f := range fields {
		o, known := findOption(LakeOptions(), f.name)
		if _, decoded := e.spec[f.name]; known && decoded && o.Type == option.Duration && isNumber(f.value) {
			r.report(f.value, join(keyLake, f.name), "say the unit, for example %s", option.FormatDuration(o.Default.(time.Duration)))
		}
	}
	v := option.NewValues(LakeOptions(), e.values)
	r.checkLocator(&e, "warehouse", v.String("warehouse"), WarehouseLocal, "s3", "azblob", "gs")
	return Lake{
		Warehouse:      v.String("warehouse"),
		Retention:      v.Duration("retention"),
		CommitInterval: v.Duration("commit_interval"),
	}
}

// isNumber reports whether a duration was given without a unit, which is harmless for a connector's minutes and fatal
// for a retention meant in days.
func isNumber(n *yaml.Node) bool {
	_, err := strconv.ParseInt(n.Value, 10, 64)
	return err == nil
}

func (r *reader) checkListen(e *entry, listen string) {
	n := e.nodes["listen"]
	if n == nil || e.values["listen"] == nil || option.HasReference(listen) {
		return
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		r.report(n, "listen", "must be host:port, found %q", listen)
		return
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(p, 10) != port {
		r.report(n, "listen", "must end in a port number between 0 and 65535, found %q", port)
	}
}

// checkLocator demands the word of the embedded engine or a URL of one of the schemes with a host. The value is not
// quoted when it can be a URL, because that may carry a password.
func (r *reader) checkLocator(e *entry, key, value, word string, schemes ...string) {
	n := e.nodes[key]
	if n == nil || e.values[key] == nil || value == word || option.HasReference(value) {
		return
	}
	path := join(e.path, key)
	scheme, _, isURL := strings.Cut(value, "://")
	if !isURL {
		r.report(n, path, "%s", unknown("value", value, append([]string{word}, withSlashes(schemes)...)))
		return
	}
	for _, s := range schemes {
		if s != scheme {
			continue
		}
		if u, err := url.Parse(value); err != nil || u.Host == "" {
			r.report(n, path, "must be a URL such as %s://host/name", scheme)
		}
		return
	}
	r.report(n, path, "%s", unknown("scheme "+strconv.Quote(scheme), scheme, schemes))
}

// checkServers demands the word "embedded" or a list of NATS servers.
func (r *reader) checkServers(e *entry, journal string) {
	if journal == JournalEmbedded {
		return
	}
	for server := range strings.SplitSeq(journal, ",") {
		before := len(r.problems)
		r.checkLocator(e, "journal", strings.TrimSpace(server), JournalEmbedded, "nats", "tls")
		if len(r.problems) > before {
			return
		}
	}
}

func withSlashes(schemes []string) []string {
	list := make([]string, len(schemes))
	for i, s := range schemes {
		list[i] = s + "://..."
	}
	return list
}
