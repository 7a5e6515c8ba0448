package m365

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/fault"
)

// signInRule is a row of the table in spec/entra-auth.md section 5.
type signInRule struct {
	codes []int
	kind  fault.Kind
	says  string // what happened, for the operator
	hint  string
}

// signInRules is that table. The error codes may change, so an unknown one falls back to the OAuth error name.
func signInRules() []signInRule {
	const (
		ids       = "compare directory_id and application_id with the app registration, and authentication_endpoint with the tenant's cloud"
		bug       = "report this as a bug of Sluice"
		transient = "nothing to do: Sluice tries again by itself"
		newSecret = "create a new client secret and store its value in api_access_key" //nolint:gosec // a hint, no secret
	)
	return []signInRule{
		{[]int{7000215}, fault.Auth, "the client secret is wrong", "check that api_access_key holds the secret's value, not its ID"},
		{[]int{7000222}, fault.Auth, "the client secret has expired", newSecret},
		{[]int{7000218, 900144}, fault.Internal, "a field of the sign-in request is missing", bug},
		{[]int{70002}, fault.Auth, "the client secret does not match", "check that api_access_key holds the secret's value, not its ID"},
		{[]int{700016, 700011}, fault.Auth, "the application is unknown in this tenant", ids + "; an application of several tenants needs admin consent first"},
		{[]int{7000112, 70001}, fault.Auth, "the application is disabled in this tenant", "enable it under Enterprise applications in the Entra admin centre"},
		{[]int{90002}, fault.Config, "the tenant does not exist in this cloud", ids},
		{[]int{900023}, fault.Config, "directory_id is neither a GUID nor a domain name", ids},
		{[]int{50059, 90019}, fault.Config, "the sign-in address names no tenant", ids},
		{[]int{90038, 900382, 900432}, fault.Config, "the tenant lives in another national cloud", "choose the tenant's cloud in subscription_plan and authentication_endpoint"},
		{[]int{50194}, fault.Config, "an application of one tenant was used through the common address", ids},
		{[]int{9001023, 90130}, fault.Config, "directory_id must be one tenant, not common or consumers", ids},
		{[]int{70011, 1002012}, fault.Config, "the token's audience is malformed", "check api_audience"},
		{[]int{700022, 28000}, fault.Config, "a token can be for one service only", "check api_audience"},
		{[]int{500011}, fault.Config, "the service is not present in this tenant", "the service is not licensed or was never set up in the tenant, or api_audience is wrong"},
		{[]int{650052}, fault.Permission, "the organisation has not subscribed to this service", "check the tenant's licences"},
		{[]int{650057}, fault.Permission, "the service is not among the application's permissions", "add the service's application permission to the app registration and give admin consent"},
		{[]int{65001}, fault.Permission, "consent is missing", "give admin consent to the application's permissions"},
		{[]int{700027, 50012, 50013}, fault.Auth, "the certificate is not accepted", "upload the certificate to this app registration and compare the thumbprints"},
		{[]int{700024}, fault.Auth, "the sign-in request is outside its validity: this machine's clock is wrong", "set the clock of this machine"},
		{[]int{700030}, fault.Auth, "the certificate's subject is not allowed", "compare the certificate with the trusted names of the app registration"},
		{[]int{53003, 530032, 530035}, fault.Permission, "conditional access blocks the application", "allow this machine's public address for workload identities in conditional access"},
		{[]int{50196}, fault.Throttled, "the sign-in service saw too many equal requests", transient},
		{[]int{90055, 50033, 90006, 90024, 90033, 50000}, fault.Unavailable, "the sign-in service has a temporary problem", transient},
	}
}

// oauthErrors are the error names that decide when no code is known.
func oauthErrors() map[string]fault.Kind {
	return map[string]fault.Kind{
		"invalid_client": fault.Auth, "unauthorized_client": fault.Auth, "invalid_grant": fault.Auth,
		"invalid_request": fault.Config, "invalid_tenant": fault.Config, "invalid_scope": fault.Config, "invalid_resource": fault.Config,
		"consent_required": fault.Permission, "access_denied": fault.Permission, "interaction_required": fault.Permission,
		"temporarily_unavailable": fault.Unavailable, "server_error": fault.Unavailable, "slow_down": fault.Throttled,
	}
}

var (
	aadstsCode  = regexp.MustCompile(`AADSTS(\d{4,8})`)
	aadstsTrail = regexp.MustCompile(`(?s)\s*Trace ID:.*$`)
)

// signInAnswer is the JSON of a refused sign-in, or of a refused discovery document, which looks the same.
type signInAnswer struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
}

// signInError classifies an answer of the sign-in service. secrets are removed from its text.
func signInError(op string, status int, body []byte, secrets ...string) *fault.Error {
	var a signInAnswer
	if json.Unmarshal(body, &a) != nil || a.Error == "" {
		parsed := parseErrorBody(body)
		e := fault.Newf(fault.Unavailable, op, "HTTP %d from the sign-in service", status).WithStatus(status)
		switch {
		case status == http.StatusTooManyRequests:
			e.Kind = fault.Throttled
		case status >= 300 && status < 500 && status != http.StatusRequestTimeout:
			e.Kind, e.Hint = statusRule(status).Kind, "check authentication_endpoint and the proxy"
		}
		if parsed.HTML {
			e.Err = &HTMLError{Title: oneLine(redact(parsed.Message, secrets...), maxErrorMessage)}
		} else if parsed.Message != "" {
			e.Message += ": " + oneLine(redact(parsed.Message, secrets...), maxErrorMessage)
		}
		return e
	}
	codes := a.Codes
	if m := aadstsCode.FindStringSubmatch(a.Description); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			codes = append(codes, n)
		}
	}
	e := &fault.Error{Op: op, Status: status, Message: oneLine(redact(aadstsTrail.ReplaceAllString(a.Description, ""), secrets...), maxErrorMessage)}
	if len(codes) > 0 {
		e.Code = fmt.Sprintf("AADSTS%d", codes[0])
	}
	explain(e, a, codes)
	if status == http.StatusTooManyRequests {
		e.Kind = fault.Throttled
	} else if status >= 500 {
		e.Kind = fault.Unavailable
	}
	if id := a.support(); id != "" {
		e.Hint = strings.TrimPrefix(e.Hint+"; for Microsoft support: "+redact(id, secrets...), "; ")
	}
	return e
}

// explain sets kind, message and hint from the table, or from the error name.
func explain(e *fault.Error, a signInAnswer, codes []int) {
	for _, code := range codes {
		for _, rule := range signInRules() {
			if slices.Contains(rule.codes, code) {
				e.Code = fmt.Sprintf("AADSTS%d", code)
				e.Kind, e.Message, e.Hint = rule.kind, e.Code+": "+rule.says, rule.hint
				return
			}
		}
	}
	kind, ok := oauthErrors()[a.Error]
	if !ok {
		kind = fault.Auth
	}
	e.Kind = kind
	if e.Message == "" {
		e.Message = oneLine(a.Error, 60)
	}
}

// support lists what Microsoft's support asks for.
func (a signInAnswer) support() string {
	var parts []string
	for _, p := range [][2]string{{"trace id", a.TraceID}, {"correlation id", a.CorrelationID}, {"time", a.Timestamp}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+oneLine(p[1], 64))
		}
	}
	return strings.Join(parts, ", ")
}
