package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"golang.org/x/time/rate"

	"sluice/internal/consent"
	"sluice/internal/fault"
)

// CallbackPath is where Microsoft sends the browser of a customer's administrator back to. It needs no token: the state
// in the query is what makes an answer worth something, see package consent.
const CallbackPath = "/consent/callback"

// Callbacks that are answered: a few at once, then one a second. Nobody can guess a state, so this protects the database.
const (
	callbackRate  = 1
	callbackBurst = 20
)

const pageStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}` +
	`dt{font-weight:600}dd{margin:0 0 .5rem}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}}`

// page is the answer to a callback. Everything in it is escaped by html/template; nothing of an answer without a good state is shown.
var page = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{with .Facts}}<dl>
{{range .}}<dt>{{.Name}}</dt>
<dd>{{.Value}}</dd>
{{end}}</dl>
{{end}}{{with .Steps}}<h2>What to do now</h2>
<ol>
{{range .}}<li>{{.}}</li>
{{end}}</ol>
{{end}}</main>
</body>
</html>
`))

// answerPage is what page shows.
type answerPage struct {
	Status      int
	Title, Text string
	Facts       []pageFact
	Steps       []string
}

type pageFact struct{ Name, Value string }

// callback answers the redirect. The query is neither logged nor shown.
func (s *server) callback() http.HandlerFunc {
	limiter := rate.NewLimiter(callbackRate, callbackBurst)
	sum := sha256.Sum256([]byte(pageStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !limiter.AllowN(s.clock.Now(), 1) {
			h.Set("Retry-After", "10")
			s.page(w, answerPage{Status: http.StatusTooManyRequests, Title: "Too many answers", Text: "Sluice received too many answers at once.", Steps: []string{"Wait ten seconds and reload this page."}})
			return
		}
		result, err := s.service.FinishConsent(r.Context(), r.URL.Query())
		if err != nil {
			s.page(w, brokenPage(s.problems.of(r.Context(), err)))
			return
		}
		s.page(w, resultPage(result))
	}
}

func (s *server) page(w http.ResponseWriter, p answerPage) {
	var b bytes.Buffer
	if err := page.Execute(&b, p); err != nil {
		s.log.Error("page not written", "error", err)
		p.Status = http.StatusInternalServerError
	}
	w.WriteHeader(p.Status)
	_, _ = b.WriteTo(w) // a browser that is gone needs no answer
}

// brokenPage is the page when this side failed. The reason is for the operator, who has the log.
func brokenPage(p *Problem) answerPage {
	return answerPage{
		Status: p.Status, Title: "The consent could not be recorded", Text: "Sluice failed to take in the answer: " + p.Message,
		Steps: []string{
			"Tell the operator of Sluice, who finds the reason in the log of the server.",
			"The operator records the tenant with sluice consent add, or makes a new link. A consent that was given stays given.",
		},
	}
}

func resultPage(r consent.Result) answerPage {
	p := answerPage{Status: http.StatusOK, Title: "Consent recorded", Text: "Sluice can now sign in to this tenant. You can close this page."}
	if r.Label != "" {
		p.Facts = append(p.Facts, pageFact{"Customer", r.Label})
	}
	if e := r.Error; e != nil {
		p.Status, p.Title, p.Text = http.StatusBadRequest, "Consent not recorded", sentence(e.Message)
		switch e.Kind {
		case fault.Unavailable, fault.Throttled, fault.Internal:
			p.Status = http.StatusBadGateway
		default:
		}
		if e.Code != "" {
			p.Facts = append(p.Facts, pageFact{"Microsoft's code", e.Code})
		}
		for step := range strings.SplitSeq(e.Hint, "; ") {
			if step != "" {
				p.Steps = append(p.Steps, sentence(step))
			}
		}
		return p
	}
	p.Facts = append(p.Facts, pageFact{"Tenant", r.TenantName}, pageFact{"Directory (tenant) ID", r.TenantID}, pageFact{"Application", r.Application})
	if len(r.Roles) > 0 {
		p.Facts = append(p.Facts, pageFact{"Granted permissions", strings.Join(r.Roles, ", ")})
	}
	create := "The operator of Sluice creates the connectors: sluice consent create " + r.TenantID
	switch {
	case !r.AdminConsent:
		p.Title = "Tenant recorded, permissions are missing"
		p.Text = "The application exists in the tenant now, but it holds no application permission there yet."
		p.Steps = []string{"A consent can take some minutes to arrive. If it does not, an administrator with the right to consent for the organisation has to open a new link and press Accept.", create}
	case len(r.Missing) > 0:
		p.Text = "Sluice can now sign in to this tenant, but some permissions are missing: " + strings.Join(r.Missing, ", ")
		p.Steps = []string{"Add the missing permissions to the app registration and consent again; what does not need them is collected meanwhile.", create}
	default:
		p.Steps = []string{create}
	}
	return p
}

// sentence makes a message one: a capital at its beginning, a stop at its end.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
