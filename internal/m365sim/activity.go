package m365sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// operation is an answer of the activity API that has passed authentication, throttling and faults.
type operation struct {
	req    *http.Request
	origin string
	tenant *tenant
	appID  string
	query  query
	rest   string // path below activity/feed/
	shape  Kind   // fault that shapes a listing, or ""
	call   call
	names  []listed // what the answer lists
}

// query holds parameters by lower-case name, because the service ignores the case of names.
type query map[string]string

func readQuery(values url.Values) query {
	q := query{}
	for key, v := range values {
		if lower := strings.ToLower(key); len(v) > 0 && q[lower] == "" {
			q[lower] = v[0]
		}
	}
	return q
}

func isAPI(path string) bool {
	return strings.HasPrefix(path, "/api/v1.0/") || strings.HasPrefix(path, "/api/v1/")
}

// serveAPI answers a request below /api/: token, throttle, faults, then the operation.
func (s *Sim) serveAPI(req *http.Request, origin string) (a attempt) {
	path := strings.TrimPrefix(strings.TrimPrefix(req.URL.Path, "/api/v1.0/"), "/api/v1/")
	tenantID, rest, _ := strings.Cut(path, "/")
	o := operation{req: req, origin: origin, query: readQuery(req.URL.Query())}
	feedPath := "activity/feed/"
	if !strings.HasPrefix(strings.ToLower(rest), feedPath) {
		a.call = call{route: "other"}
		a.reply = htmlReply(http.StatusNotFound, "<html><title>404 - File or directory not found.</title></html>")
		return a
	}
	o.rest = rest[len(feedPath):]
	a.publisher = o.query["publisheridentifier"]
	a.call = s.classify(&o, strings.ToLower(tenantID))
	claims, refusal := s.admit(&o, tenantID)
	if claims != nil {
		a.tokenID = claims.UTI
	}
	if refusal != nil {
		a.reply = refusal
		return a
	}
	o.appID = strings.ToLower(claims.AppID)
	if !s.throttle.admit(o.tenant.ID, strings.ToLower(a.publisher), s.now()) {
		a.reply = throttled(s.scenario.Throttle.Status, a.call)
		if value, err := retryAfter(s.scenario.Throttle.RetryAfter); err == nil && value(s.now()) != "" {
			a.reply.set("Retry-After", value(s.now()))
		}
		return a
	}
	f, struck := s.faults.fire(a.call, s.age())
	if struck {
		a.strike(f, s.replacement(f, a.call))
		if f.shapesListing() {
			o.shape = f.Kind
		}
		if f.final() && a.blob.feed != nil {
			s.ledger.lose(a.blob)
		}
	}
	if _, lost := s.ledger.state(a.blob); a.reply == nil && lost {
		a.reply = missing(a.target) // gone stays gone
	}
	if a.reply == nil {
		o.call = a.call
		a.reply = s.operate(&o)
		delivered := a.reply.status == http.StatusOK && (!struck || f.Kind == Slow || f.Kind == Stall)
		if delivered && a.blob.feed != nil {
			s.ledger.serve(a.blob, s.grown(a.blob, s.produced()))
		}
		if delivered || struck && (f.Kind == NextV1 || f.Kind == NextEndtime) {
			s.ledger.name(o.names)
		}
	}
	return a
}

// classify names the route of a request for faults and journal.
func (s *Sim) classify(o *operation, tenantID string) call {
	c := call{tenant: tenantID, contentType: o.query["contenttype"], target: o.rest}
	lower := strings.ToLower(o.rest)
	switch {
	case lower == "subscriptions/content":
		c.route = "content"
		c.target = c.contentType + " " + o.query["starttime"] + " " + o.query["endtime"] + " " + o.query["nextpage"]
		from, okFrom := parseTime(o.query["starttime"])
		to, okTo := parseTime(o.query["endtime"])
		if c.width = maxWindow; okFrom && okTo {
			c.width = to.Sub(from)
		}
	case strings.HasPrefix(lower, "audit/"):
		c.route, c.target = "blob", o.rest[len("audit/"):]
		if t := s.tenants[tenantID]; t != nil {
			if k, _, _, exists := t.parseContentID(c.target); exists {
				c.blob, c.contentType = k, k.feed.contentType
			}
		}
	case strings.HasPrefix(lower, "resources/"):
		c.route = "resources"
	case strings.HasPrefix(lower, "subscriptions/"):
		c.route = strings.TrimPrefix(lower, "subscriptions/")
		c.target += c.contentType
	default:
		c.route = "other"
	}
	return c
}

// unauthorized is the answer of the web framework to a token that it cannot use.
func unauthorized() *reply {
	return jsonReply(http.StatusUnauthorized, map[string]string{"Message": "Authorization has been denied for this request."})
}

// admit checks the bearer token and the tenant. The claims are returned as far as they are known.
func (s *Sim) admit(o *operation, tenantID string) (*accessClaims, *reply) {
	scheme, token, _ := strings.Cut(o.req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, unauthorized()
	}
	claims, err := s.authority.check(strings.TrimSpace(token), s.tokenTime())
	if err != nil {
		return nil, &reply{status: http.StatusUnauthorized} // expired or forged: an empty body
	}
	if _, err := uuid.Parse(tenantID); err != nil {
		return claims, problemReply(http.StatusBadRequest, "AF20013", "The tenant ID passed in the URL ("+clip(tenantID)+") is not a valid GUID.")
	}
	if !strings.EqualFold(claims.TenantID, tenantID) {
		return claims, problemReply(http.StatusUnauthorized, "AF20010", "The tenant ID passed in the URL ("+tenantID+") does not match the tenant ID passed in the access token ("+claims.TenantID+").")
	}
	o.tenant = s.tenants[strings.ToLower(tenantID)]
	if o.tenant == nil {
		return claims, problemReply(http.StatusBadRequest, "AF20011", "Specified tenant ID ("+tenantID+") does not exist in the system or has been deleted.")
	}
	if len(claims.Audience) != 1 || !strings.EqualFold(claims.Audience[0], o.tenant.audience(o.origin)) {
		return claims, unauthorized()
	}
	if p := o.query["publisheridentifier"]; p != "" {
		if _, err := uuid.Parse(p); err != nil {
			return claims, problemReply(http.StatusBadRequest, "AF20002", "Invalid parameter type: PublisherIdentifier. Expected type: guid")
		}
	}
	return claims, permitted(claims, o)
}

// permitted checks the roles of the token for what is asked for.
func permitted(claims *accessClaims, o *operation) *reply {
	needed := "ActivityFeed.Read"
	contentType := o.query["contenttype"]
	if id, ok := strings.CutPrefix(o.rest, "audit/"); ok {
		if k, _, _, exists := o.tenant.parseContentID(id); exists {
			contentType = k.feed.contentType
		}
	}
	if strings.EqualFold(contentType, DLP) {
		needed = "ActivityFeed.ReadDlp"
	}
	if slices.Contains(claims.Roles, needed) {
		return nil
	}
	return problemReply(http.StatusUnauthorized, "AF10001", "The permission set ("+strings.Join(claims.Roles, " ")+
		") sent in the request does not include the expected permission "+needed+".")
}

// clip bounds what an error repeats of the request.
func clip(text string) string { return text[:min(len(text), 200)] }

// operate answers an admitted request.
func (s *Sim) operate(o *operation) *reply {
	type entry struct {
		method string
		handle func(*operation) *reply
	}
	handlers := map[string]entry{
		"start": {http.MethodPost, s.startSubscription}, "stop": {http.MethodPost, s.stopSubscription},
		"list": {http.MethodGet, s.listSubscriptions}, "content": {http.MethodGet, s.listContent},
		"blob": {http.MethodGet, s.getBlob}, "resources": {http.MethodGet, listSensitiveTypes},
		"notifications": {http.MethodGet, s.listNotifications},
	}
	h, ok := handlers[o.call.route]
	switch {
	case !ok:
		return htmlReply(http.StatusNotFound, "<html><title>404 - File or directory not found.</title></html>")
	case o.req.Method != h.method:
		r := jsonReply(http.StatusMethodNotAllowed, map[string]string{
			"Message": "The requested resource does not support http method '" + o.req.Method + "'.",
		})
		r.set("Allow", h.method)
		return r
	}
	return h.handle(o)
}

// getBlob answers with the records of a blob.
func (s *Sim) getBlob(o *operation) *reply {
	id := o.call.target
	k, c, wellFormed, exists := o.tenant.parseContentID(id)
	switch {
	case !wellFormed:
		return problemReply(http.StatusBadRequest, "AF20052", "Content ID ("+clip(id)+") is not valid.")
	case !exists, k.appears(s.scenario.Late).After(s.produced()):
		return missing(id)
	case s.now().After(k.expires(s.scenario.Expiry)):
		return expired(id)
	}
	r := &reply{status: http.StatusOK}
	r.set("Content-Type", "application/json; charset=utf-8")
	if asOf := s.produced(); !acceptsGzip(o.req) || !s.grown(k, asOf) {
		r.body = s.body(k, c, asOf)
		return r
	}
	packed, wanted := s.bodies.get(cacheKey{k, c})
	if packed != nil {
		r.packed = packed
		return r
	}
	r.body = s.body(k, c, s.produced())
	if wanted {
		r.packed = pack(r.body)
		s.bodies.put(cacheKey{k, c}, r.packed)
	}
	return r
}

func missing(id string) *reply {
	return problemReply(http.StatusNotFound, "AF20050", "The specified content ("+clip(id)+") does not exist.")
}

func expired(id string) *reply {
	return problemReply(http.StatusBadRequest, "AF20051", "Content requested with the key "+clip(id)+" has already expired. Content older than 7 days cannot be retrieved.")
}

// listSensitiveTypes answers resources/dlpSensitiveTypes.
func listSensitiveTypes(o *operation) *reply {
	if !strings.EqualFold(o.rest, "resources/dlpSensitiveTypes") {
		return htmlReply(http.StatusNotFound, "<html><title>404 - File or directory not found.</title></html>")
	}
	language := o.req.Header.Get("Accept-Language")
	if strings.Contains(language, ",") {
		return problemReply(http.StatusBadRequest, "AF20053", "The Accept-Language header contains more than one language.")
	}
	type item struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	items := make([]item, 0, len(sensitiveTypes))
	for _, kind := range sensitiveTypes {
		items = append(items, item{kind[0], kind[1]})
	}
	return jsonReply(http.StatusOK, items)
}
