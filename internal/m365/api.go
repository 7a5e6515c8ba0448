package m365

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/fault"
)

// Rule says what an error code of an API means to Sluice and to the operator.
type Rule struct {
	Kind    fault.Kind
	Message string // sentence for the operator; empty: the service's own words
	Hint    string // what to do; may be empty
	Cause   error  // said instead of a message; the callers can look for it
	Renew   bool   // worth one try with a fresh token even without status 401
}

// API is what the Client has to know of one of Microsoft's APIs: how to read its refusals.
type API struct {
	Name string // for people: "Management Activity API"
	// CodePattern finds the code. It is looked for in the body's code, message and raw text, in this order, because
	// some answers hide it. Nil: the body's code as it is.
	CodePattern *regexp.Regexp
	Codes       map[string]Rule // by code, exact
	Texts       []TextRule      // for refusals that only their text tells apart; the first match counts
	Statuses    map[int]Rule    // replace the general meaning of a status
	// RequestIDHeader, when set, is sent with a new GUID on every request (Graph: client-request-id).
	RequestIDHeader string
}

// TextRule is a Rule for bodies that contain Contains, compared without letter case.
type TextRule struct {
	Contains string
	Rule     Rule
}

// ManagementActivity is the Office 365 Management Activity API (spec/management-activity-api.md sections 8 and 9).
// Microsoft gives no status codes for most of these, so the code decides whatever the status is.
func ManagementActivity() API {
	const (
		wait   = transient + "; admin.microsoft.com > Health > Service health shows whether Microsoft knows of it"
		window = "nothing to do if it happens once; compare this machine's clock with Microsoft's if it stays (sluice test shows the difference)"
		ids    = "compare directory_id with the app registration: entra.microsoft.com > App registrations > All applications > {application_id} > Overview > Directory (tenant) ID; " +
			"compare subscription_plan with the tenant's cloud"
		expired = "nothing to do: the service keeps content for about 7 days; Sluice records it as lost and goes on"
		setUp   = "nothing to do: Sluice starts it, at most once in 15 minutes"
	)
	auditOff := Rule{Kind: fault.Config, Cause: ErrAuditOff, Hint: "open purview.microsoft.com > Solutions > Audit and press Start recording user and admin activity " +
		"(or in Exchange Online PowerShell: Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true); it takes up to two hours, after which Sluice starts the subscription by itself; " +
		"if auditing is on, check directory_id and that the tenant has Microsoft 365 licences"}
	return API{
		Name:        "Management Activity API",
		CodePattern: regexp.MustCompile(`\bAF\d{3,6}\b`),
		Codes: map[string]Rule{
			"AF429": {Kind: fault.Throttled, Message: "too many requests for this tenant's quota", Hint: "nothing to do: Sluice slows down and goes on, and this is no permission problem in spite of its status; if it is frequent, " +
				"set publisher_id to your own tenant's id, look for other programs that collect from the same tenant, or ask Microsoft support for a larger quota"},
			"AF10001": {
				Kind: fault.Permission, Renew: true, Message: "the application lacks a permission of the Office 365 Management APIs",
				Hint: "grant the application permission ActivityFeed.Read (and ActivityFeed.ReadDlp for DLP.All) and give admin consent; " + grant,
			},
			"AF20001": {Kind: fault.Internal, Message: "a parameter is missing", Hint: bug},
			"AF20002": {Kind: fault.Config, Message: "the service does not accept a setting's form", Hint: "check publisher_id and directory_id: both must be GUIDs"},
			"AF20003": {Kind: fault.Internal, Message: "the webhook's expiration lies in the past", Hint: bug},
			"AF20010": {Kind: fault.Config, Renew: true, Message: "the token belongs to another tenant than directory_id", Hint: ids},
			"AF20011": {Kind: fault.Config, Message: "the tenant is unknown to the service or was deleted", Hint: ids},
			"AF20012": {Kind: fault.Config, Message: "the tenant is not set up correctly inside the service", Hint: "open a case with Microsoft support (admin.microsoft.com > Support > New service request) and name this code and directory_id {directory_id}"},
			"AF20013": {Kind: fault.Config, Message: "the tenant in the address is not a GUID", Hint: "set directory_id to the Directory (tenant) ID, not to a domain name; " + ids},
			"AF20020": {Kind: fault.Config, Message: "the service does not know this content type", Hint: "check content_types; if they are right, " + bug},
			"AF20021": {Kind: fault.Config, Message: "the webhook could not be validated", Hint: bug},
			"AF20022": {Kind: fault.Unavailable, Message: "there is no subscription for this content type yet", Hint: setUp},
			"AF20023": {Kind: fault.Unavailable, Message: "the subscription is disabled", Hint: "Sluice starts it again, at most once in 15 minutes; if it stays disabled, " +
				"an administrator or Microsoft has switched it off: check at purview.microsoft.com > Solutions > Audit that auditing is on, and ask whether another program stops subscriptions of {application_id}"},
			"AF20024": {Kind: fault.Conflict, Message: "the subscription is already enabled"},
			"AF20030": {Kind: fault.Config, Message: "the service refused the time window", Hint: window},
			"AF20055": {Kind: fault.Config, Message: "the service refused the time window", Hint: window},
			"AF20031": {Kind: fault.Unavailable, Message: "the link to the next page is no longer valid", Hint: "nothing to do: Sluice lists the window again from its first page"},
			"AF20050": {Kind: fault.Gone, Message: "the content does not exist any more", Hint: expired},
			"AF20051": {Kind: fault.Gone, Message: "the content has expired", Hint: expired},
			"AF20052": {Kind: fault.Internal, Message: "the service does not accept the content id", Hint: bug},
			"AF20053": {Kind: fault.Internal, Message: "a header of the request is malformed", Hint: bug},
			"AF20054": {Kind: fault.Internal, Message: "a header of the request is malformed", Hint: bug},
			"AF50000": {Kind: fault.Unavailable, Message: "the service has an internal problem", Hint: wait},
			"AF50005": {Kind: fault.Unavailable, Message: "the service has an internal problem", Hint: wait},
			"AF50006": {Kind: fault.Unavailable, Message: "the service has an internal problem", Hint: wait},
		},
		Texts: []TextRule{
			{"DataServiceException: Tenant", auditOff},
			{"StartSubscription [CorrId", auditOff},
		},
		Statuses: map[int]Rule{
			http.StatusForbidden: {Kind: fault.Permission, Message: "the service does not allow this (HTTP 403)", Hint: "grant the application permission ActivityFeed.Read (and ActivityFeed.ReadDlp for DLP.All) and give admin consent; " + grant + "; " + ids},
			http.StatusUnauthorized: {Kind: fault.Auth, Message: "the service does not accept the token (HTTP 401)", Hint: "check subscription_plan, api_endpoint and api_audience: the token must be for the plan's cloud; " +
				"check that the clock step of sluice test passed; " + grant + "; new permissions can take up to an hour to reach the service"},
			http.StatusNotFound: {Kind: fault.NotFound, Message: "the service does not know this address (HTTP 404)", Hint: "check api_endpoint, which is empty or the API's host without a path; " + ids},
		},
	}
}

// ErrAuditOff is the cause of a refusal that means that nothing is audited in the tenant.
var ErrAuditOff = errors.New("audit logging is off for this tenant, or the tenant has no Microsoft 365")

// statusRule is the meaning of a status that no code explains (spec/http-behaviour.md section 4).
func statusRule(status int) Rule {
	switch {
	case status == http.StatusTooManyRequests:
		return Rule{Kind: fault.Throttled, Hint: "nothing to do: Sluice slows down and goes on"}
	case status == http.StatusUnauthorized:
		return Rule{Kind: fault.Auth, Hint: "check that the token's cloud and audience fit this service, and this machine's clock"}
	case status == http.StatusForbidden:
		return Rule{Kind: fault.Permission, Hint: "grant the application permission of this service and give admin consent"}
	case status == http.StatusProxyAuthRequired:
		return Rule{Kind: fault.Config, Hint: "the proxy asks for a login: put it into HTTPS_PROXY"}
	case status == http.StatusNotFound:
		return Rule{Kind: fault.NotFound, Hint: "check the configured address of the API"}
	case status == http.StatusConflict:
		return Rule{Kind: fault.Conflict}
	case status == http.StatusGone:
		return Rule{Kind: fault.Gone, Hint: "Microsoft has withdrawn this address of the API: install a newer version of Sluice"}
	case slices.Contains([]int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusFailedDependency}, status) || status >= 500:
		return Rule{Kind: fault.Unavailable, Hint: transient + "; admin.microsoft.com > Health > Service health shows whether Microsoft knows of it"}
	case slices.Contains([]int{405, 406, 411, 413, 414, 415, 431}, status):
		return Rule{Kind: fault.Internal, Hint: "a proxy or firewall on the way may not allow this request; if there is none, " + bug}
	case status >= 300 && status < 400:
		return Rule{Kind: fault.Config, Message: "the service answered with a redirect", Hint: "check the configured address and the proxy"}
	}
	return Rule{Kind: fault.Config, Hint: bug}
}

// HTMLError is the cause of a failure whose body was a web page: a gateway's or proxy's, not the service's.
type HTMLError struct {
	Title string // title of the page, or the beginning of its text
}

// Error implements error.
func (e *HTMLError) Error() string {
	if e.Title == "" {
		return "the answer is a web page, not data"
	}
	return fmt.Sprintf("the answer is a web page, not data: %q", e.Title)
}

// classify turns a refusal into a *fault.Error without Op. secrets are removed from its text.
func (a *API) classify(status int, body []byte, secrets ...string) (*fault.Error, Rule) {
	parsed := parseErrorBody(body)
	code, rule := a.rule(status, parsed, body)
	e := &fault.Error{Kind: rule.Kind, Status: status, Code: code, Hint: rule.Hint}
	own := oneLine(redact(parsed.Message, secrets...), maxErrorMessage)
	switch {
	case parsed.HTML:
		e.Message, e.Err = statusText(status), &HTMLError{Title: own}
		e.Hint = "a gateway, proxy or captive portal answers in the place of the service: check api_endpoint, and that the proxy lets Sluice through; " + again
	case rule.Message != "":
		e.Message = rule.Message
	case rule.Cause != nil:
		e.Err = rule.Cause
	case own != "":
		e.Message = own
	default:
		e.Message = statusText(status)
	}
	if code != "" && e.Message != "" {
		e.Message = code + ": " + e.Message
	}
	if parsed.IDs != "" {
		e.Hint = strings.TrimPrefix(e.Hint+"; for Microsoft support: "+redact(parsed.IDs, secrets...), "; ")
	}
	return e, rule
}

func statusText(status int) string {
	return fmt.Sprintf("the service answers HTTP %d%s", status, statusWords(status))
}

// rule finds what applies: the code, then the text, then the status.
func (a *API) rule(status int, parsed errorBody, body []byte) (string, Rule) {
	code := parsed.Code
	if a.CodePattern != nil {
		code = ""
		for _, place := range []string{parsed.Code, parsed.Message, string(body)} {
			if code = a.CodePattern.FindString(place); code != "" {
				break
			}
		}
	}
	if rule, ok := a.Codes[code]; ok {
		return code, rule
	}
	lower := strings.ToLower(string(body))
	for _, t := range a.Texts {
		if strings.Contains(lower, strings.ToLower(t.Contains)) {
			return oneLine(code, 40), t.Rule
		}
	}
	if rule, ok := a.Statuses[status]; ok {
		return oneLine(code, 40), rule
	}
	return oneLine(code, 40), statusRule(status)
}
