package m365

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/fault"
)

func TestParseErrorBody(t *testing.T) {
	tests := []struct{ name, body, code, message string }{
		{"graph", `{"error":{"code":"TooMany","message":"m","innerError":{"request-id":"1"}}}`, "TooMany", "m"},
		{"activity", `{"error":{"code":"AF20031","message":"Invalid"}}`, "AF20031", "Invalid"},
		{"odata light", `{"odata.error":{"code":"c","message":{"lang":"en-US","value":"v"}}}`, "c", "v"},
		{"odata verbose", `{"error":{"code":"","message":{"lang":"en-US","value":"v"}}}`, "", "v"},
		{"reporting 403", `{"ErrorCode":"E","Message":"No permission"}`, "E", "No permission"},
		{"xml", `<?xml version="1.0"?><ServiceFault><Message>bad &amp; ugly</Message></ServiceFault>`, "", "bad & ugly"},
		{"html", `<!DOCTYPE html><html><title> Sign &amp; in </title></html>`, "", "Sign & in"},
		{"token", `{"error":"invalid_client","error_description":"AADSTS7000215: x"}`, "invalid_client", "AADSTS7000215: x"},
		{"web framework", `{"Message":"Authorization has been denied for this request."}`, "", "Authorization has been denied for this request."},
		{"cloud apps", `{"detail":"Request was throttled."}`, "", "Request was throttled."},
		{"empty", ``, "", ""},
		{"unknown JSON", `{"a":1}`, "", `{"a":1}`},
		{"not JSON", `{'error':{'code':'AF1'}}`, "", `{'error':{'code':'AF1'}}`},
		{"text", ` plain `, "", "plain"},
	}
	for _, tt := range tests {
		if got := parseErrorBody([]byte(tt.body)); got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%s: code %q, message %q; want %q, %q", tt.name, got.Code, got.Message, tt.code, tt.message)
		}
	}
}

func TestClassify(t *testing.T) {
	api := ManagementActivity()
	tests := []struct {
		status int
		body   string
		code   string
		kind   fault.Kind
	}{
		{403, `{"error":{"code":"AF429","message":"Too many requests."}}`, "AF429", fault.Throttled},
		{403, `{'error':{'code':'AF429','message':'Too many requests.'}}`, "AF429", fault.Throttled},
		{429, ``, "", fault.Throttled},
		{403, `{"error":{"code":"x","message":"no"}}`, "", fault.Permission},
		{401, `{"error":{"code":"AF10001","message":"no"}}`, "AF10001", fault.Permission},
		{401, `{"error":{"code":"AF20010","message":"no"}}`, "AF20010", fault.Config},
		{401, ``, "", fault.Auth},
		{400, `{"error":{"code":"Odd [x","message":"hides AF20055 in its text"}}`, "AF20055", fault.Config},
		{400, `{"error":{"code":"AF99999","message":"new"}}`, "AF99999", fault.Config},
		{400, `{"error":{"code":"AF20024","message":"x"}}`, "AF20024", fault.Conflict},
		{500, `{"error":{"code":"AF50000","message":"x"}}`, "AF50000", fault.Unavailable},
		{502, `<html></html>`, "", fault.Unavailable},
		{408, ``, "", fault.Unavailable},
		{404, ``, "", fault.NotFound},
		{410, ``, "", fault.Gone},
		{407, ``, "", fault.Config},
		{302, ``, "", fault.Config},
		{414, ``, "", fault.Internal},
	}
	for _, tt := range tests {
		e, _ := api.classify(tt.status, []byte(tt.body))
		if e.Kind != tt.kind || e.Code != tt.code || e.Status != tt.status || e.Error() == "" {
			t.Errorf("HTTP %d %s: %s %q %q, want %s %q", tt.status, tt.body, e.Kind, e.Code, e, tt.kind, tt.code)
		}
	}
}

func TestErrorTextsAreShortAndClean(t *testing.T) {
	const token = "eyJhbGciOi.eyJhdWQi.sig-nature"
	body := `{"error":{"code":"X","message":"bad link https://manage.office.com/feed?nextPage=opaque&x=1 token Bearer abc.def key hunter2hunter2 ` +
		token + strings.Repeat("é", 500) + `\r\n at Stack.Trace()"}}`
	e, _ := (&API{}).classify(http.StatusBadRequest, []byte(body), "hunter2hunter2", "")
	for _, bad := range []string{"opaque", "abc.def", "hunter2", token, "sig-nature", "Stack", "\r"} {
		if strings.Contains(e.Error(), bad) {
			t.Errorf("error text holds %q: %s", bad, e)
		}
	}
	if n := utf8.RuneCountInString(e.Error()); n > maxErrorMessage+10 {
		t.Errorf("%d characters", n)
	}
}

func TestSignInError(t *testing.T) {
	tests := []struct {
		status int
		body   string
		kind   fault.Kind
		code   string
		says   string
	}{
		{401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: t1","error_codes":[7000215],"trace_id":"t1"}`, fault.Auth, "AADSTS7000215", "secret is wrong"},
		{400, `{"error":"invalid_tenant","error_description":"AADSTS90002: Tenant 'x' not found. Trace ID: t1","error_codes":[90002]}`, fault.Config, "AADSTS90002", "does not exist"},
		{400, `{"error":"invalid_request","error_description":"AADSTS9999999: Something new. Trace ID: t1","error_codes":[9999999]}`, fault.Config, "AADSTS9999999", "Something new."},
		{400, `{"error":"brand_new"}`, fault.Auth, "", "brand_new"},
		{400, `{"error":"x","error_description":"AADSTS50196: loop"}`, fault.Throttled, "AADSTS50196", "too many"},
		{503, `{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error."}`, fault.Unavailable, "AADSTS90033", "temporary"},
		{429, ``, fault.Throttled, "", "429"},
		{503, `<html><title>Busy</title></html>`, fault.Unavailable, "", "Busy"},
		{404, `<html><title>No</title></html>`, fault.NotFound, "", "No"},
		{302, ``, fault.Config, "", "302"},
	}
	for _, tt := range tests {
		e := signInError("sign in", tt.status, []byte(tt.body))
		if e.Kind != tt.kind || e.Code != tt.code || !strings.Contains(e.Error(), tt.says) || strings.Contains(e.Error(), "Trace ID") {
			t.Errorf("HTTP %d %s: %s %q %q", tt.status, tt.body, e.Kind, e.Code, e)
		}
	}
	seen := map[int]bool{}
	for _, rule := range signInRules() {
		for _, code := range rule.codes {
			if seen[code] || rule.says == "" || rule.hint == "" || rule.kind == "" {
				t.Errorf("row of %d is repeated or not complete", code)
			}
			seen[code] = true
		}
	}
}

func FuzzParseErrorBody(f *testing.F) {
	for _, s := range []string{`{"error":{"code":"a","message":{"value":"b"}}}`, `{"error":"x"}`, `<html><title>`, `<m:message>x</m:message>`, "\xef\xbb\xbf{}", `{"odata.error":1}`} {
		f.Add([]byte(s))
	}
	api := ManagementActivity()
	f.Fuzz(func(t *testing.T, body []byte) {
		e, _ := api.classify(400, body)
		if e.Kind == "" || strings.ContainsAny(e.Message, "\r\n") || utf8.RuneCountInString(e.Message) > maxErrorMessage+10 {
			t.Errorf("%q: %+v", body, e)
		}
	})
}
