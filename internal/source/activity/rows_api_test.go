package activity

import (
	"fmt"
	"net/http"
)

func apiRows() []row {
	const section = "spec/http-behaviour.md section 4, Management Activity API: "
	const table = "spec/management-activity-api.md section 8: "
	at := func(place string, status int, body string) func(*scene) {
		return func(s *scene) {
			s.at(place, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status, body) })
		}
	}
	code := func(place string, status int, code, text string) func(*scene) {
		return at(place, status, fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, text))
	}
	const list, start, content, blob = "subscriptions/list", "subscriptions/start", "subscriptions/content", "audit/b1"
	const page = "<!DOCTYPE html><html><head><title>Contoso proxy</title></head><body>Please log in</body></html>"
	auditOff := `{"error":{"code":"StartSubscription [CorrId=1][TenantId=2,ContentType=Audit.Exchange,ApplicationId=3,PublisherId=4][AppId","message":"3] failed. ` +
		`Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant ` + testTenant + ` does not exist.\r\n   at Microsoft.Office.Stack.Trace()"}}`
	return []row{
		{"api-page", section + "200, body is not JSON (captive portal)", at(list, 200, page)},
		{"api-listing-page", section + "200, a web page in the place of a listing", at(content, 200, page)},
		{"api-listing-object", table + "an object in the place of a listing", at(content, 200, `{"value":[]}`)},
		{"api-redirect", section + "302 to another origin", func(s *scene) {
			s.at(list, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://portal.hotel.example/login?from="+linkSecret, http.StatusFound)
			})
		}},
		{"api-foreign-link", section + "a link to another origin", func(s *scene) {
			s.at(content, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("NextPageUri", "https://evil.example"+r.URL.Path+"?nextPage="+linkSecret)
				writeJSON(w, 200, "[]")
			})
		}},
		{"api-AF20001", table + "AF20001", code(list, 400, "AF20001", "Missing parameter: tenantId.")},
		{"api-AF20002", table + "AF20002", code(list, 400, "AF20002", "Invalid parameter type: PublisherIdentifier. Expected type: guid")},
		{"api-AF20003", table + "AF20003", code(list, 400, "AF20003", "Expiration provided is set to past date and time.")},
		{"api-AF20010", section + "AF20010", code(list, 401, "AF20010", "The tenant ID passed in the URL does not match the tenant ID passed in the access token.")},
		{"api-AF20011", table + "AF20011", code(list, 400, "AF20011", "Specified tenant ID does not exist in the system or has been deleted.")},
		{"api-AF20012", table + "AF20012", code(list, 400, "AF20012", "Specified tenant ID is incorrectly configured in the system.")},
		{"api-AF20013", table + "AF20013", code(list, 400, "AF20013", "The tenant ID passed in the URL is not a valid GUID.")},
		{"api-AF20020", table + "AF20020", code(content, 400, "AF20020", "The specified content type is not valid.")},
		{"api-AF20021", table + "AF20021", code(list, 400, "AF20021", "The webhook endpoint could not be validated.")},
		{"api-AF20022", section + "AF20022", code(content, 400, "AF20022", "No subscription found for the specified content type.")},
		{"api-AF20023", section + "AF20023", code(content, 400, "AF20023", "The subscription was disabled.")},
		{"api-AF20024", table + "AF20024: the subscription is enabled already", func(s *scene) {
			clear(s.subs)
			code(start, 400, "AF20024", "The subscription is already enabled. No property change.")(s)
		}},
		{"api-AF20030", section + "AF20030", code(content, 400, "AF20030", "Start time and end time must both be specified.")},
		{"api-AF20055", section + "AF20055", code(content, 400, "AF20055", "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart.")},
		{"api-AF20031", section + "AF20031", func(s *scene) {
			s.at(content, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("nextPage") {
					writeJSON(w, 400, `{"error":{"code":"AF20031","message":"Invalid nextPage Input: `+linkSecret+`"}}`)
					return
				}
				w.Header().Set("NextPageUri", "https://"+apiHost+r.URL.Path+"?nextPage="+linkSecret)
				writeJSON(w, 200, "[]")
			})
		}},
		{"api-AF20050", section + "404 AF20050", code(blob, 404, "AF20050", "The specified content does not exist.")},
		{"api-AF20051", section + "AF20051", code(blob, 400, "AF20051", "Content requested has already expired.")},
		{"api-AF20052", section + "AF20052", code(blob, 400, "AF20052", "Content ID in the URL is invalid.")},
		{"api-AF20053", table + "AF20053, AF20054", code(list, 400, "AF20053", "Only one language may be present in the Accept-Language header.")},
		{"api-401", section + "401 again with a fresh token", at(list, 401, `{"Message":"Authorization has been denied for this request."}`)},
		{"api-403-AF429", section + "403 AF429", func(s *scene) {
			code(list, 403, "AF429", "Too many requests. Method=GetSubscriptions, PublisherId=00000000-0000-0000-0000-000000000000")(s)
		}},
		{"api-AF10001", section + "AF10001", code(list, 401, "AF10001", "The permission set () sent in the request does not include the expected permission ActivityFeed.Read.")},
		{"api-403", section + "403 without a code", at(list, 403, "")},
		{"api-404", section + "404 of a collection", at(list, 404, "")},
		{"api-405", section + "405, 406, 415", at(list, 405, "")},
		{"api-408", section + "408, 425", at(list, 408, "")},
		{"api-410", section + "410", at(list, 410, "")},
		{"api-413", section + "413, 414, 431", at(list, 413, "")},
		{"api-429", section + "429 with Retry-After", func(s *scene) {
			s.at(list, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "2.128")
				writeJSON(w, 429, "")
			})
		}},
		{"api-500", section + "500", at(list, 500, "")},
		{"api-AF50000", table + "AF50000, AF50005, AF50006", code(list, 500, "AF50000", "An internal error occurred. Retry the request.")},
		{"api-502", section + "502, 504, 509 with a gateway's page", at(list, 502, "<html><head><title>502 Bad Gateway</title></head></html>")},
		{"api-503", section + "503 with Retry-After", func(s *scene) {
			s.at(list, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "30")
				writeJSON(w, 503, "")
			})
		}},
		{"api-cut", "the connection is cut in the middle of a blob", func(s *scene) {
			s.at(blob, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte("["))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
		}},
		{"api-record-damaged", "the first record is no JSON", at(blob, 200, `[{"Id":tru}]`)},
		{"audit-off", table + "8.2: audit logging is off", func(s *scene) {
			clear(s.subs)
			at(start, 400, auditOff)(s)
		}},
		{"audit-off-list", table + "8.2: audit logging is off, said by the list", at(list, 400, auditOff)},
		{"subscriptions-new", "a new application without subscriptions", func(s *scene) { clear(s.subs); s.blobs = false }},
		{"subscriptions-disabled", "a disabled subscription, one without status, and one that is missing", func(s *scene) {
			s.subs["Audit.Exchange"], s.subs["Audit.General"] = "disabled", ""
			delete(s.subs, "DLP.All")
		}},
		{"start-refused", "spec/management-activity-api.md section 3.1: 401 for a start", func(s *scene) {
			clear(s.subs)
			at(start, 401, "")(s)
		}},
	}
}
