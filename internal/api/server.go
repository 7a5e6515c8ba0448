package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/internal/clock"
	"sluice/internal/consent"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

// Prefix is the path below which the API lives.
const Prefix = "/api/v1"

// Options are what New needs. Service and Token must be given.
type Options struct {
	Service Service
	Token   secret.Secret               // see LoadOrCreateToken
	Version string                      // of the server, shown in the OpenAPI document
	Log     *slog.Logger                // nil: nothing is logged
	Clock   clock.Clock                 // what ages such as 24h count from; nil: the wall clock
	Metrics http.Handler                // GET /metrics; nil: 404
	Health  func(context.Context) error // GET /healthz; nil: healthy while it answers
}

type server struct {
	service  Service
	token    secret.Secret
	log      *slog.Logger
	clock    clock.Clock
	problems problems
}

// New returns the handler of /api/v1, /consent/callback, /healthz and /metrics; other paths are answered with 404. It starts nothing and
// keeps no state, so there is nothing to close.
func New(o Options) (http.Handler, error) {
	if o.Service == nil || o.Token.Empty() {
		return nil, errors.New("api: Service and Token are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	s := &server{service: o.Service, token: o.Token, log: o.Log, clock: o.Clock, problems: problems{o.Log}}
	mux := http.NewServeMux()
	doc := s.routes(mux, o.Version)
	if err := serveOpenAPI(mux, doc); err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /healthz", s.healthz(o.Health))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	mux.HandleFunc("GET "+CallbackPath, s.callback())
	profileRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.problems.write(w, newProblem(fault.NotFound, "no operation "+r.Method+" "+r.URL.Path, "GET "+Prefix+"/openapi.json lists the operations"))
	})
	return s.observe(secureHeaders(s.protect(s.authenticate(mux)))), nil
}

// NewHTTPServer returns a server for h with bounds on what a peer may do before a handler sees it. Bodies and answers
// have deadlines of their own (see New), because a search or an import may rightly take long.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// routes registers every operation.
func (s *server) routes(mux *http.ServeMux, version string) *huma.OpenAPI {
	config := huma.DefaultConfig("Sluice", version)
	config.Info.Description = "Collects the security logs of Microsoft 365, proves that none is missing, keeps them searchable."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema members in answers
	config.Transformers = []huma.Transformer{fromHuma}
	config.RejectUnknownQueryParameters = true
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "The content of the file cli-token in the data folder"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(mux, config)
	s.systemRoutes(api)
	s.entryRoutes(api)
	s.jobRoutes(api)
	s.queueRoutes(api)
	s.verifyRoutes(api)
	s.searchRoutes(api)
	s.importRoutes(api)
	s.lakeRoutes(api)
	s.tenantRoutes(api)
	s.catalogRoutes(api)
	s.historyRoutes(api)
	s.consentRoutes(api)
	s.filterRoutes(api)
	s.healthRoutes(api)
	describeErrors(api.OpenAPI())
	return api.OpenAPI()
}

// schemaName names the schema of a type. The types of package consent have short names that make sense only beside that
// of their package.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.PkgPath() == typeOf[consent.Result]().PkgPath() {
		return "Consent" + name
	}
	return name
}

// serveOpenAPI renders the document once.
func serveOpenAPI(mux *http.ServeMux, doc *huma.OpenAPI) error {
	asJSON, err := doc.MarshalJSON()
	if err != nil {
		return err
	}
	asYAML, err := doc.YAML()
	if err != nil {
		return err
	}
	serve := func(path, contentType string, body []byte) {
		mux.HandleFunc("GET "+Prefix+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body) // a client that is gone needs no answer
		})
	}
	serve("/openapi.json", "application/openapi+json", asJSON)
	serve("/openapi.yaml", "application/openapi+yaml", asYAML)
	return nil
}

// describeErrors lets every operation say that it fails with a Problem, which huma cannot know.
func describeErrors(doc *huma.OpenAPI) {
	registry := doc.Components.Schemas
	schema := registry.Schema(typeOf[Problem](), true, "Problem")
	failure := &huma.Response{
		Description: "A problem (RFC 9457); its status follows from its kind",
		Content:     map[string]*huma.MediaType{problemType: {Schema: schema}},
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op == nil {
				continue
			}
			for status := range op.Responses {
				if status >= "4" && status < "6" {
					delete(op.Responses, status)
				}
			}
			op.Responses["default"] = failure
		}
	}
	delete(registry.Map(), "ErrorModel")
	delete(registry.Map(), "ErrorDetail")
}

func (s *server) healthz(check func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if check != nil {
			if err := check(r.Context()); err != nil {
				p := s.problems.of(r.Context(), err)
				p.Status, p.Title = http.StatusServiceUnavailable, title(http.StatusServiceUnavailable)
				s.problems.write(w, p)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	}
}
