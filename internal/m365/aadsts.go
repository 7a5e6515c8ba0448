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

// Hints that several failures share. Steps are parted by "; ", placeholders are filled by Credential.fill.
const (
	registration = "open entra.microsoft.com > App registrations > All applications > {application_id}"
	overview     = "compare directory_id and application_id with the app registration, and authentication_endpoint with the tenant's cloud; " +
		"entra.microsoft.com > App registrations > All applications > your application > Overview shows Application (client) ID and Directory (tenant) ID"
	newSecret = registration + " > Certificates & secrets > Client secrets > New client secret; copy its Value at once, since it is never shown again, " +
		"and store it in api_access_key"
	secretValue = "check that api_access_key holds the secret's value, not its ID; if in doubt create a new secret; " + newSecret
	newCloud    = "choose the tenant's cloud: set subscription_plan to it and leave authentication_endpoint empty; " +
		"worldwide and GCC sign in at login.microsoftonline.com, GCC High and DoD at login.microsoftonline.us, China at login.partner.microsoftonline.cn"
	grant = registration + " > API permissions; choose Add a permission > Office 365 Management APIs > Application permissions, tick ActivityFeed.Read " +
		"(and ActivityFeed.ReadDlp for DLP.All) and press Add permissions; press Grant admin consent (an administrator must do that)"
	upload = registration + " > Certificates & secrets > Certificates, and upload the public part of certificate_file (.cer or .pem without the key); " +
		"compare the thumbprint there with the one that sluice test shows"
	clockHint = "set the clock of this machine and switch on time synchronisation (timedatectl set-ntp true on Linux, w32tm /resync on Windows)"
	policies  = "open entra.microsoft.com > Monitoring & health > Sign-in logs > Service principal sign-ins, choose a failed sign-in of {application_id} and open its tab " +
		"Conditional Access, which names the policy; in Conditional Access > Policies exclude the application from it or add this machine's public address to its allowed locations"
	serviceHint = "open entra.microsoft.com > Enterprise applications, set the filter Application type to Microsoft Applications, and look for Office 365 Management APIs " +
		"(c5393580-f805-4401-95e8-94b7a6ef2fc2); if it is missing, assign a Microsoft 365 licence in the tenant (admin.microsoft.com > Billing > Licenses) or create it with: " +
		"az ad sp create --id c5393580-f805-4401-95e8-94b7a6ef2fc2; if it is there, check api_audience and subscription_plan"
	bug       = "report this as a bug of Sluice, with the lines that sluice test prints"
	transient = "nothing to do: " + again
)

// GrantHint says where an application permission of the Office 365 Management APIs is granted.
func GrantHint(applicationID, role string) string {
	return Credential{ClientID: applicationID}.fill(registration + " > API permissions; choose Add a permission > Office 365 Management APIs > Application permissions, tick " +
		role + " and press Add permissions; press Grant admin consent (an administrator must do that)")
}

// signInRules is that table. The error codes may change, so an unknown one falls back to the OAuth error name.
func signInRules() []signInRule {
	return []signInRule{
		{[]int{7000215}, fault.Auth, "the client secret is wrong", secretValue},
		{[]int{7000222}, fault.Auth, "the client secret has expired", newSecret},
		{[]int{7000218, 900144}, fault.Internal, "a field of the sign-in request is missing", bug},
		{[]int{70002}, fault.Auth, "the client secret does not match", secretValue},
		{[]int{700016, 700011}, fault.Auth, "the application is unknown in this tenant", overview +
			"; if the application is registered in another tenant, an administrator of this one must consent first: open {consent}"},
		{
			[]int{7000112, 70001},
			fault.Auth, "the application is disabled in this tenant",
			"open entra.microsoft.com > Enterprise applications > All applications > {application_id} > Properties and set Enabled for users to sign in to Yes",
		},
		{[]int{90002}, fault.Config, "the tenant does not exist in this cloud", overview + "; " + newCloud},
		{[]int{900023}, fault.Config, "directory_id is neither a GUID nor a domain name", overview},
		{[]int{50059, 90019}, fault.Config, "the sign-in address names no tenant", overview},
		{[]int{90038, 900382, 900432}, fault.Config, "the tenant lives in another national cloud", newCloud},
		{[]int{50194}, fault.Config, "an application of one tenant was used through the common address", overview},
		{[]int{9001023, 90130}, fault.Config, "directory_id must be one tenant, not common or consumers", overview},
		{[]int{70011, 1002012}, fault.Config, "the token's audience is malformed", "remove api_audience, or set it to the https address of the API without a path, such as https://manage.office.com"},
		{[]int{700022, 28000}, fault.Config, "a token can be for one service only", "set api_audience to one address, such as https://manage.office.com, or remove it"},
		{[]int{500011}, fault.Config, "the service is not present in this tenant", serviceHint},
		{[]int{650052}, fault.Permission, "the organisation has not subscribed to this service", "check the tenant's licences: admin.microsoft.com > Billing > Licenses; " + serviceHint},
		{[]int{650057}, fault.Permission, "the service is not among the application's permissions", grant},
		{[]int{65001}, fault.Permission, "admin consent is missing", registration + " > API permissions and press Grant admin consent; or let an administrator open {consent}"},
		{[]int{700027, 50012, 50013}, fault.Auth, "the certificate is not accepted: it is not registered with this application", upload},
		{[]int{700024}, fault.Auth, "the sign-in request is outside its validity: this machine's clock is wrong", clockHint},
		{[]int{700030}, fault.Auth, "the certificate's subject is not allowed", "compare the certificate's subject, which sluice test shows, with the trusted names (trustedCertificateSubjects) " +
			"of the app registration; or upload the certificate itself; " + upload},
		{[]int{53003, 530032, 530035}, fault.Permission, "conditional access blocks the application", policies},
		{[]int{50196}, fault.Throttled, "the sign-in service saw too many equal requests", transient + "; if it lasts, look for another program that signs in with {application_id} again and again"},
		{[]int{90055, 50033, 90006, 90024, 90033, 50000}, fault.Unavailable, "the sign-in service has a temporary problem", transient + "; status.cloud.microsoft shows whether Microsoft knows of it"},
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
		e := fault.Newf(fault.Unavailable, op, "the sign-in service answers HTTP %d%s", status, statusWords(status)).
			WithStatus(status).WithHint(transient + "; status.cloud.microsoft shows whether Microsoft knows of it")
		switch {
		case status == http.StatusTooManyRequests:
			e.Kind, e.Hint = fault.Throttled, transient+", after the wait that the service asked for"
		case status >= 300 && status < 500 && status != http.StatusRequestTimeout:
			e.Kind, e.Hint = statusRule(status).Kind, "this is not how Microsoft's sign-in service answers: check authentication_endpoint, and whether a proxy or captive portal answers in its place"
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
	e.Hint = unknownHint(kind)
	if e.Message == "" {
		e.Message = oneLine(a.Error, 60)
	}
	if e.Code == "" {
		e.Message = "the sign-in service says: " + e.Message
	}
}

// unknownHint is what to do about a refusal whose code is not in the table.
func unknownHint(kind fault.Kind) string {
	switch kind {
	case fault.Throttled, fault.Unavailable:
		return transient
	case fault.Permission:
		return grant
	default:
	}
	return overview + "; learn.microsoft.com/entra/identity-platform/reference-error-codes explains the code"
}

// statusWords is the name of a status in brackets, if it has one.
func statusWords(status int) string {
	if text := http.StatusText(status); text != "" {
		return " (" + text + ")"
	}
	return ""
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
