package m365

import (
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
		bug    = "report this as a bug of Sluice"
		wait   = "nothing to do: Sluice tries again by itself"
		window = "nothing to do if it happens once; compare this machine's clock with Microsoft's if it stays"
	)
	return API{
		Name:        "Management Activity API",
		CodePattern: regexp.MustCompile(`\bAF\d{3,6}\b`),
		Codes: map[string]Rule{
			"AF429": {Kind: fault.Throttled, Message: "too many requests for this tenant's quota", Hint: "nothing to do: Sluice slows down and goes on; if it is frequent, " +
				"set a publisher_id of your own and look for other programs that collect from the same tenant"},
			"AF10001": {Kind: fault.Permission, Renew: true, Message: "the application lacks a permission of the Office 365 Management APIs", Hint: "grant the application " +
				"permission ActivityFeed.Read (and ActivityFeed.ReadDlp for DLP.All) and give admin consent"},
			"AF20001": {Kind: fault.Internal, Hint: bug},
			"AF20002": {Kind: fault.Config, Hint: "check publisher_id and directory_id: both must be GUIDs"},
			"AF20003": {Kind: fault.Config},
			"AF20010": {Kind: fault.Config, Renew: true, Message: "the token belongs to another tenant than directory_id", Hint: "compare directory_id with the tenant of the app registration"},
			"AF20011": {Kind: fault.Config, Message: "the tenant is unknown to the service or was deleted", Hint: "check directory_id and subscription_plan"},
			"AF20012": {Kind: fault.Config, Message: "the tenant is not set up correctly inside the service", Hint: "open a case with Microsoft support"},
			"AF20013": {Kind: fault.Config, Message: "the tenant in the address is not a GUID", Hint: "set directory_id to the Directory (tenant) ID, not to a domain name"},
			"AF20020": {Kind: fault.Config, Message: "the service does not know this content type"},
			"AF20021": {Kind: fault.Config, Message: "the webhook could not be validated"},
			"AF20022": {Kind: fault.Unavailable, Message: "there is no subscription for this content type yet", Hint: "nothing to do: Sluice starts it, at most once in 15 minutes"},
			"AF20023": {Kind: fault.Unavailable, Message: "the subscription is disabled", Hint: "Sluice starts it again, at most once in 15 minutes; if it stays disabled, " +
				"an administrator or Microsoft has switched it off: check that unified audit logging is on"},
			"AF20024": {Kind: fault.Conflict, Message: "the subscription is already enabled"},
			"AF20030": {Kind: fault.Config, Message: "the service refused the time window", Hint: window},
			"AF20055": {Kind: fault.Config, Message: "the service refused the time window", Hint: window},
			"AF20031": {Kind: fault.Unavailable, Message: "the link to the next page is no longer valid", Hint: "nothing to do: Sluice lists the window again from its first page"},
			"AF20050": {Kind: fault.Gone, Message: "the content does not exist any more"},
			"AF20051": {Kind: fault.Gone, Message: "the content has expired"},
			"AF20052": {Kind: fault.Internal, Message: "the service does not accept the content id", Hint: bug},
			"AF20053": {Kind: fault.Internal, Hint: bug},
			"AF20054": {Kind: fault.Internal, Hint: bug},
			"AF50000": {Kind: fault.Unavailable, Hint: wait},
			"AF50005": {Kind: fault.Unavailable, Hint: wait},
			"AF50006": {Kind: fault.Unavailable, Hint: wait},
		},
		Texts: []TextRule{
			{"DataServiceException: Tenant", Rule{
				Kind: fault.Config, Message: "audit logging is off for this tenant, or the tenant has no Microsoft 365",
				Hint: "turn on unified audit logging in the Purview portal (it takes up to two hours), or check directory_id",
			}},
			{"StartSubscription [CorrId", Rule{
				Kind: fault.Config, Message: "audit logging is off for this tenant, or the tenant has no Microsoft 365",
				Hint: "turn on unified audit logging in the Purview portal (it takes up to two hours), or check directory_id",
			}},
		},
		Statuses: map[int]Rule{
			http.StatusForbidden: {Kind: fault.Permission, Hint: "grant ActivityFeed.Read (and ActivityFeed.ReadDlp for DLP.All) as application permissions, " +
				"give admin consent, and compare directory_id with the app's tenant"},
			http.StatusUnauthorized: {Kind: fault.Auth, Hint: "check subscription_plan (the token must be for the plan's cloud), the permissions of the app, and this machine's clock"},
		},
	}
}

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
		return Rule{Kind: fault.NotFound}
	case status == http.StatusConflict:
		return Rule{Kind: fault.Conflict}
	case status == http.StatusGone:
		return Rule{Kind: fault.Gone}
	case slices.Contains([]int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusFailedDependency}, status) || status >= 500:
		return Rule{Kind: fault.Unavailable}
	case slices.Contains([]int{405, 406, 411, 413, 414, 415, 431}, status):
		return Rule{Kind: fault.Internal, Hint: "report this as a bug of Sluice"}
	case status >= 300 && status < 400:
		return Rule{Kind: fault.Config, Message: "the service answered with a redirect", Hint: "check the configured address"}
	}
	return Rule{Kind: fault.Config}
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
		e.Message, e.Err = fmt.Sprintf("HTTP %d", status), &HTMLError{Title: own}
	case rule.Message != "":
		e.Message = rule.Message
	case own != "":
		e.Message = own
	default:
		e.Message = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, http.StatusText(status)))
	}
	if code != "" {
		e.Message = code + ": " + e.Message
	}
	if parsed.IDs != "" {
		e.Hint = strings.TrimPrefix(e.Hint+"; for Microsoft support: "+redact(parsed.IDs, secrets...), "; ")
	}
	return e, rule
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
