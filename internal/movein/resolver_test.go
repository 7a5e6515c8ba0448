package movein

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/fault"
)

const directory = "11111111-2222-3333-4444-555555555555"

// authority serves the OpenID configuration of contoso.example and quirks under other names.
func authority(t *testing.T) (*httptest.Server, *OpenID) {
	t.Helper()
	var foreign atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		foreign.Add(1)
		fmt.Fprintf(w, `{"issuer":"https://login.microsoftonline.com/%s/v2.0"}`, directory)
	}))
	t.Cleanup(func() {
		other.Close()
		if n := foreign.Load(); n > 0 {
			t.Errorf("a redirect to another host was followed %d times", n)
		}
	})
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		domain, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/v2.0/.well-known/openid-configuration")
		if !ok || r.Method != http.MethodGet || r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		issuer := func(text string) { fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"x"}`, text) }
		switch domain {
		case "contoso.example":
			issuer(server.URL + "/" + strings.ToUpper(directory) + "/v2.0")
		case "v1.example":
			issuer("https://sts.windows.net/" + directory + "/")
		case "moved.example":
			http.Redirect(w, r, "/contoso.example/v2.0/.well-known/openid-configuration", http.StatusFound)
		case "foreign.example":
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
		case "circle.example":
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case "common.example":
			issuer("https://login.microsoftonline.com/{tenantid}/v2.0")
		case "zero.example":
			issuer("https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0")
		case "evil.example":
			issuer("https://evil.example/" + directory + "/v2.0")
		case "empty.example":
			issuer("")
		case "page.example":
			fmt.Fprint(w, "<html>secret page</html>")
		case "large.example":
			issuer(server.URL + "/" + directory + "/v2.0") // right but for its size
			fmt.Fprint(w, strings.Repeat(" ", maxDiscovery))
		case "busy.example":
			w.WriteHeader(http.StatusTooManyRequests)
		case "broken.example":
			w.WriteHeader(http.StatusBadGateway)
		case "odd.example":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"x","error_description":"secret text","error_codes":[90038]}`)
		case "hang.example":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_tenant","error_description":"secret text","error_codes":[90002]}`)
		}
	}))
	t.Cleanup(server.Close)
	return server, NewOpenID(OpenIDSettings{Authority: server.URL, Transport: server.Client().Transport})
}

func TestOpenID(t *testing.T) {
	server, resolver := authority(t)
	for _, c := range []struct {
		domain string
		kind   fault.Kind // empty: found
	}{
		{"contoso.example", ""},
		{"v1.example", ""},
		{"moved.example", ""},
		{"foreign.example", fault.Config},
		{"circle.example", fault.Unavailable},
		{"common.example", fault.Malformed},
		{"zero.example", fault.Malformed},
		{"evil.example", fault.Malformed},
		{"empty.example", fault.Malformed},
		{"page.example", fault.Malformed},
		{"large.example", fault.Malformed},
		{"busy.example", fault.Throttled},
		{"broken.example", fault.Unavailable},
		{"odd.example", fault.NotFound},
		{"nobody.example", fault.NotFound},
		{"common", fault.Config},
		{"../x.example", fault.Config},
		{"", fault.Config},
	} {
		id, err := resolver.DirectoryID(t.Context(), "https://login.microsoftonline.com", c.domain)
		if c.kind == "" && (err != nil || id != directory) {
			t.Errorf("%s: got %q, %v", c.domain, id, err)
		}
		if c.kind != "" && (fault.KindOf(err) != c.kind || id != "") {
			t.Errorf("%s: got %q, %v (%s), want %s", c.domain, id, err, fault.KindOf(err), c.kind)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "well-known")) {
			t.Errorf("%s: the error repeats the answer or the address: %v", c.domain, err)
		}
	}
	server.Close()
	if _, err := resolver.DirectoryID(t.Context(), "", "contoso.example"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("closed: got %v", err)
	}
}

func TestOpenIDAsksOnlyWhereItMay(t *testing.T) {
	resolver := NewOpenID(OpenIDSettings{})
	for _, address := range []string{"", "login.microsoftonline.com", "http://login.microsoftonline.com", "ftp://x", "https://user:secret@x", "https://x?y", "file:///etc/passwd"} {
		_, err := resolver.DirectoryID(t.Context(), address, "contoso.example")
		if fault.KindOf(err) != fault.Config || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestOpenIDDoesNotTrustEverybody(t *testing.T) {
	server, _ := authority(t)
	if _, err := NewOpenID(OpenIDSettings{}).DirectoryID(t.Context(), server.URL, "contoso.example"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want a refusal of the unknown certificate", err)
	}
}

func TestOpenIDEnds(t *testing.T) {
	server, _ := authority(t)
	short := NewOpenID(OpenIDSettings{Authority: server.URL, Transport: server.Client().Transport, Timeout: 50 * time.Millisecond})
	if _, err := short.DirectoryID(t.Context(), "", "hang.example"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("time-out: got %v (%s)", err, fault.KindOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := short.DirectoryID(ctx, "", "hang.example"); fault.KindOf(err) != fault.Canceled {
		t.Errorf("cancelled: got %v (%s)", err, fault.KindOf(err))
	}
}

func TestTranslateWithOpenID(t *testing.T) {
	_, resolver := authority(t)
	o := options()
	o.Resolver = resolver
	c := one(t, o, `{"Values":{"clientID":"99999999-8888-7777-6666-555555555555","clientSecret":"x","domain":"contoso.example","contentTypes":"DLP.All"}}`)
	if c.DirectoryID() != directory || c.TenantName != "contoso.example" || c.Name != "contoso.example-office365" {
		t.Errorf("got %s, %s, %s", c.DirectoryID(), c.TenantName, c.Name)
	}
}
