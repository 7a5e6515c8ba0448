package m365sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"sluice/internal/fault"
)

// authority is the token service (spec/entra-auth.md). It lives on the wall clock.
type authority struct {
	key      *rsa.PrivateKey
	lifetime time.Duration

	mu       sync.Mutex
	verified map[string]*accessClaims // guarded by mu; access tokens whose signature was checked
}

// maxVerified bounds the memory of checked tokens.
const maxVerified = 4096

// accessClaims are the claims of an access token (spec/entra-auth.md section 3).
type accessClaims struct {
	jwt.RegisteredClaims
	AppID    string   `json:"appid"`
	AppIDACR string   `json:"appidacr"` // 1: secret, 2: certificate
	IDType   string   `json:"idtyp"`
	ObjectID string   `json:"oid"`
	Roles    []string `json:"roles,omitempty"`
	TenantID string   `json:"tid"`
	UTI      string   `json:"uti"`
	Version  string   `json:"ver"`
}

func newAuthority(lifetime time.Duration) (*authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "make token key", err)
	}
	return &authority{key: key, lifetime: lifetime, verified: map[string]*accessClaims{}}, nil
}

// entraError is an error answer of the token service.
type entraError struct {
	status  int
	name    string // error
	code    int    // AADSTS number
	message string
}

func (e *entraError) reply(now time.Time) *reply {
	now = now.UTC()
	trace, correlation, stamp := uuid.NewString(), uuid.NewString(), now.Format("2006-01-02 15:04:05Z")
	return jsonReply(e.status, map[string]any{
		"error": e.name,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			e.code, e.message, trace, correlation, stamp),
		"error_codes": []int{e.code}, "timestamp": stamp, "trace_id": trace, "correlation_id": correlation,
		"error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.code),
	})
}

func badRequest(name string, code int, format string, args ...any) *entraError {
	return &entraError{http.StatusBadRequest, name, code, fmt.Sprintf(format, args...)}
}

func invalidClient(code int, format string, args ...any) *entraError {
	return &entraError{http.StatusUnauthorized, "invalid_client", code, fmt.Sprintf(format, args...)}
}

// entraFault is how the token service words an injected fault.
func entraFault(k Kind) *entraError {
	switch k {
	case TooMany, AF429:
		return &entraError{http.StatusTooManyRequests, "temporarily_unavailable", 90055, "The server has terminated the request due to excessive request rate."}
	case Unauthorized:
		return invalidClient(7000215, "Invalid client secret provided.")
	default:
		return &entraError{http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred. Please try again."}
	}
}

// serveAuthority answers the routes of the token service; nil means that the path is none of them.
func (s *Sim) serveAuthority(req *http.Request, origin string) (*reply, call) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	c := call{route: "token", tenant: strings.ToLower(name), target: strings.ToLower(req.URL.Path)}
	switch rest = strings.ToLower(rest); rest {
	case "discovery/instance":
		return jsonReply(http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": origin + "/common/v2.0/.well-known/openid-configuration", "metadata": []string{},
		}), c
	case "discovery/v2.0/keys", "discovery/keys":
		return jsonReply(http.StatusOK, s.authority.keys()), c
	case "v2.0/.well-known/openid-configuration", ".well-known/openid-configuration", "oauth2/v2.0/token", "oauth2/token":
	default:
		return nil, c
	}
	t, failure := s.directory(name)
	switch {
	case failure != nil:
		return failure.reply(s.wall()), c
	case strings.HasSuffix(rest, "openid-configuration"):
		c.tenant = t.ID
		return jsonReply(http.StatusOK, discovery(origin, t.ID, strings.HasPrefix(rest, "v2.0"))), c
	case req.Method != http.MethodPost:
		return badRequest("invalid_request", 900561, "The endpoint only accepts POST requests.").reply(s.wall()), c
	}
	c.tenant = t.ID
	answer, failure := s.grant(req, t, origin, rest == "oauth2/v2.0/token")
	if failure != nil {
		return failure.reply(s.wall()), c
	}
	return jsonReply(http.StatusOK, answer), c
}

// directory finds a tenant by id or domain.
func (s *Sim) directory(name string) (*tenant, *entraError) {
	lower := strings.ToLower(name)
	switch lower {
	case "common", "organizations", "consumers":
		return nil, badRequest("invalid_request", 9001023, "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.")
	}
	if t := s.tenants[lower]; t != nil {
		return t, nil
	}
	for _, t := range s.order {
		if lower == t.vocab.domain {
			return t, nil
		}
	}
	return nil, badRequest("invalid_tenant", 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", name)
}

// discovery is the OpenID document that azidentity asks for first.
func discovery(origin, tenantID string, v2 bool) map[string]any {
	base, issuer := origin+"/"+tenantID+"/oauth2", origin+"/"+tenantID+"/v2.0"
	if v2 {
		base += "/v2.0"
	} else {
		issuer = "https://sts.windows.net/" + tenantID + "/"
	}
	return map[string]any{
		"token_endpoint": base + "/token", "authorization_endpoint": base + "/authorize", "issuer": issuer,
		"jwks_uri": origin + "/" + tenantID + "/discovery/v2.0/keys", "end_session_endpoint": base + "/logout",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"tenant_region_scope":                   "EU", "cloud_instance_name": "microsoftonline.com",
	}
}

// keys is the JSON Web Key Set of the token service.
func (a *authority) keys() map[string]any {
	encode := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": a.keyID(),
		"n": encode(a.key.N), "e": encode(big.NewInt(int64(a.key.E))),
	}}}
}

func (a *authority) keyID() string {
	return base64.RawURLEncoding.EncodeToString(a.key.N.Bytes()[:20])
}

// grant answers a client credentials request.
func (s *Sim) grant(req *http.Request, t *tenant, origin string, v2 bool) (map[string]any, *entraError) {
	req.Body = http.MaxBytesReader(nil, req.Body, 1<<20)
	if err := req.ParseForm(); err != nil {
		return nil, badRequest("invalid_request", 900144, "The request body could not be read.")
	}
	form := req.PostForm
	if id, password, ok := req.BasicAuth(); ok && form.Get("client_secret") == "" {
		form.Set("client_id", unescape(id))
		form.Set("client_secret", unescape(password))
	}
	for _, name := range []string{"grant_type", "client_id"} {
		if form.Get(name) == "" {
			return nil, badRequest("invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
		}
	}
	if form.Get("grant_type") != "client_credentials" {
		return nil, badRequest("unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", form.Get("grant_type"))
	}
	app := t.apps[strings.ToLower(form.Get("client_id"))]
	if app == nil {
		return nil, badRequest("unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant.", form.Get("client_id"), t.Name)
	}
	method, failure := app.authenticate(form, origin, t.ID, s.wall())
	if failure != nil {
		return nil, failure
	}
	audience, failure := t.audienceOf(form, origin, v2)
	if failure != nil {
		return nil, failure
	}
	return s.authority.issue(t, app, audience, method, v2, s.tokenTime())
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// authenticate checks the credential and returns the value of appidacr.
func (a *application) authenticate(form url.Values, origin, tenantID string, now time.Time) (string, *entraError) {
	if assertion := form.Get("client_assertion"); assertion != "" {
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return "", badRequest("invalid_request", 900144, "The request body must contain the following parameter: 'client_assertion_type'.")
		}
		return "2", a.verifyAssertion(assertion, origin, tenantID, now)
	}
	given := form.Get("client_secret")
	switch {
	case given == "":
		return "", invalidClient(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case a.Secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(a.Secret)) == 1:
		return "1", nil
	case a.ExpiredSecret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(a.ExpiredSecret)) == 1:
		return "", invalidClient(7000222, "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app.", a.ID)
	}
	return "", invalidClient(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", a.ID)
}

// audience is what a token for this tenant's API is for.
func (t *tenant) audience(origin string) string {
	if t.Audience == audienceSelf {
		return origin
	}
	return t.Audience
}

// audienceOf reads the one resource that a token is asked for. The OpenID scopes that MSAL adds are ignored.
func (t *tenant) audienceOf(form url.Values, origin string, v2 bool) (string, *entraError) {
	wanted := strings.TrimSuffix(form.Get("resource"), "/")
	if v2 {
		var resources []string
		for scope := range strings.FieldsSeq(form.Get("scope")) {
			switch scope {
			case "openid", "offline_access", "profile", "email":
				continue
			}
			resource, ok := strings.CutSuffix(scope, "/.default")
			if !ok {
				return "", badRequest("invalid_scope", 1002012, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope)
			}
			resources = append(resources, strings.TrimSuffix(resource, "/"))
		}
		switch len(resources) {
		case 0:
			return "", badRequest("invalid_scope", 70011, "The provided request must include a 'scope' input parameter.")
		case 1:
			wanted = resources[0]
		default:
			return "", badRequest("invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it contains more than one resource.")
		}
	}
	if wanted == "" {
		return "", badRequest("invalid_request", 900144, "The request body must contain the following parameter: 'resource'.")
	}
	if own := t.audience(origin); strings.EqualFold(wanted, own) {
		return own, nil
	}
	for _, other := range audiences { // one service principal owns all of them; the API refuses the wrong one later
		if strings.EqualFold(wanted, other) {
			return other, nil
		}
	}
	return "", badRequest("invalid_resource", 500011, "The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant.", wanted, t.Name)
}

// issue makes an access token. Version 1 answers with numbers as strings.
func (a *authority) issue(t *tenant, app *application, audience, method string, v2 bool, now time.Time) (map[string]any, *entraError) {
	service := mixText(mixText(0, t.ID), app.ID)
	claims := accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "https://sts.windows.net/" + t.ID + "/", Audience: jwt.ClaimStrings{audience}, Subject: guidText(service),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-5 * time.Minute)),
			ExpiresAt: jwt.NewNumericDate(now.Add(a.lifetime)),
		},
		AppID: app.ID, AppIDACR: method, IDType: "app", ObjectID: guidText(service), Roles: app.Roles,
		TenantID: t.ID, UTI: uuid.NewString(), Version: "1.0",
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, singleAudience{claims})
	token.Header["kid"] = a.keyID()
	text, err := token.SignedString(a.key)
	if err != nil {
		return nil, &entraError{http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred. Please try again."}
	}
	seconds := int(a.lifetime / time.Second)
	if v2 {
		return map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": text}, nil
	}
	return map[string]any{
		"token_type": "Bearer", "expires_in": strconv.Itoa(seconds), "ext_expires_in": strconv.Itoa(seconds),
		"expires_on": strconv.FormatInt(claims.ExpiresAt.Unix(), 10), "not_before": strconv.FormatInt(claims.NotBefore.Unix(), 10),
		"resource": audience, "access_token": text,
	}, nil
}

// check verifies an access token: signature and times. Tokens that passed are remembered until they expire.
func (a *authority) check(text string, now time.Time) (*accessClaims, error) {
	a.mu.Lock()
	claims := a.verified[text]
	a.mu.Unlock()
	if claims != nil && now.Before(claims.ExpiresAt.Time) {
		return claims, nil
	}
	claims = &accessClaims{}
	_, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return &a.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verified) >= maxVerified {
		clear(a.verified)
	}
	a.verified[text] = claims
	return claims, nil
}
