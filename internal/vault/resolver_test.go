package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/vault/vaulttest"
)

const reference = "@Microsoft.KeyVault(SecretUri=https://" + vaultHost + "/secrets/m365)"

func newTestResolver(cfg ResolverConfig) *Resolver {
	r := NewResolver(cfg)
	r.vaults.retries = -1
	return r
}

func wantValue(t *testing.T, r *Resolver, text, want string) Value {
	t.Helper()
	v, err := r.Resolve(t.Context(), "c1", "key", text)
	if err != nil || v.Secret.Reveal() != want {
		t.Errorf("%s is not as expected: %v", text, err)
	}
	return v
}

func TestResolveLocalPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := map[string]string{"A": "from env\r\n", "EMPTY": "\n"}
	sealer := fileSealer(t, filepath.Join(dir, KeyFileName))
	r := newTestResolver(ResolverConfig{Sealer: sealer, Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	for text, want := range map[string]string{
		"": "", "literal $ text": "literal $ text", "a$${b": "a${b", "${env:A}": "from env",
		"${file:" + file("f", "from file\n\n") + "}":   "from file",
		"x-${env:A}-${file:" + file("g", "ä") + "}":    "x-from env-ä",
		mustSeal(t, sealer, "c1", "key", "s:${env:A}"): "s:from env",
		mustSeal(t, sealer, "c1", "key", planted):      planted,
	} {
		v := wantValue(t, r, text, want)
		vaulttest.GrepText(t, "From", v.From+fmt.Sprintf("%v %+v", v, v), planted)
	}
	env["A"] = "rotated"
	wantValue(t, r, "${env:A}", "rotated")
	wantValue(t, r, "${file:"+file("f", "rotated!!")+"}", "rotated!!")
	for text, part := range map[string]string{
		"${env:NONE}": "environment variable NONE is not set", "${env:EMPTY}": "environment variable EMPTY is empty",
		"${file:" + filepath.Join(dir, "none") + "}":                           "none: no such file",
		"${file:" + file("empty", "\n") + "}":                                  "is empty",
		"${file:" + file("large", strings.Repeat("x", maxReferenced+1)) + "}":  "too large",
		"${file:" + dir + "}":                                                  dir,
		"${x:y}":                                                               "unknown reference",
		"@Microsoft.KeyVault(x)":                                               "want @Microsoft.KeyVault(SecretUri",
		"@Microsoft.KeyVault(SecretUri=https://evil.example/secrets/a)":        "evil.example is not a host of Azure Key Vault",
		"@Microsoft.KeyVault(SecretUri=https://a.vault.azure.net.x/secrets/a)": "nothing was sent",
		mustSeal(t, sealer, "c2", "key", planted):                              "copied from another entry",
	} {
		_, err := r.Resolve(t.Context(), "c1", "key", text)
		if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "look up the secret key") {
			t.Errorf("%s: %v, want %q", text, err, part)
		}
	}
	if _, err := newTestResolver(ResolverConfig{}).Resolve(t.Context(), "c1", "key", mustSeal(t, sealer, "c1", "key", planted)); !fault.Is(err, fault.Config) {
		t.Errorf("without a sealer: %v", err)
	}
}

func TestKeyVault(t *testing.T) {
	t.Parallel()
	v, clk := newFakeVault(t), newManualClock()
	ends := clk.Now().Add(10 * 24 * time.Hour)
	v.put("m365", planted+"\n", map[string]any{"enabled": true, "exp": ends.Unix()})
	v.put("m365/0a1b", "older", map[string]any{"enabled": true})
	cred := &fakeCredential{}
	r := newTestResolver(ResolverConfig{Clock: clk, KeyVault: KeyVaultConfig{Credential: cred, Transport: v.transport()}})
	value := wantValue(t, r, reference, planted)
	if !value.Expires.Equal(ends) || !value.ExpiresSoon(clk.Now()) || value.ExpiresSoon(clk.Now().Add(-21*24*time.Hour)) ||
		value.ContentType != "text/plain" || value.Version != "0123456789abcdef0123456789abcdef" || !strings.Contains(value.From, vaultHost+"/secrets/m365") {
		t.Errorf("the value is %+v", value)
	}
	wantValue(t, r, "@Microsoft.KeyVault(VaultName=contoso;SecretName=m365;SecretVersion=0a1b)", "older")
	v.put("m365", "rotated", nil)
	clk.advance(VaultInterval - time.Second)
	wantValue(t, r, reference, planted) // kept
	clk.advance(2 * time.Second)
	if value := wantValue(t, r, reference, "rotated"); !value.Expires.IsZero() || value.ExpiresSoon(clk.Now()) {
		t.Errorf("the rotated value is %+v", value)
	}
	want := []string{vaultHost + "/secrets/m365/", vaultHost + "/secrets/m365/0a1b", vaultHost + "/secrets/m365/"}
	if got := v.asked(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the vault was asked for %q, want %q", got, want)
	}
	for _, scope := range cred.scopes {
		if scope != "https://vault.azure.net/.default" {
			t.Errorf("a token for %s was made", scope)
		}
	}
}

func TestOneLookForManyCallers(t *testing.T) {
	t.Parallel()
	v := newFakeVault(t)
	v.put("m365", planted, nil)
	r := newTestResolver(ResolverConfig{Clock: newManualClock(), KeyVault: v.config()})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wantValue(t, r, reference, planted) })
	}
	wg.Wait()
	if got := v.asked(); len(got) != 1 {
		t.Errorf("the vault was asked %d times", len(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.answer(KeyVaultSecret{Host: vaultHost, Name: "other"}).turn <- struct{}{} // somebody is asking
	if _, err := r.Resolve(ctx, "c1", "key", "@Microsoft.KeyVault(VaultName=contoso;SecretName=other)"); !fault.Is(err, fault.Canceled) {
		t.Errorf("a caller that gave up: %v", err)
	}
}

func TestKeyVaultFailures(t *testing.T) {
	t.Parallel()
	status := func(code int, name string, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				return false
			}
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			vaultFailure(w, code, name)
			return true
		}
	}
	body := func(text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				return false
			}
			_, _ = w.Write([]byte(text))
			return true
		}
	}
	challenge := func(text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", text)
			vaultFailure(w, http.StatusUnauthorized, "Unauthorized")
			return true
		}
	}
	const login = `Bearer authorization="https://login.microsoftonline.com/x", resource="`
	for name, tt := range map[string]struct {
		intercept func(http.ResponseWriter, *http.Request) bool
		token     error
		kind      fault.Kind
		part      string
		stale     bool // whether an earlier value is still used
	}{
		"disabled":          {intercept: status(403, "Forbidden"), kind: fault.Permission, part: "refuses the access"},
		"deleted":           {intercept: status(404, "SecretNotFound"), kind: fault.NotFound, part: "does not have it"},
		"throttled":         {intercept: status(429, "Throttled"), kind: fault.Throttled, part: "slow down", stale: true},
		"down":              {intercept: status(503, "x"), kind: fault.Unavailable, part: "status 503", stale: true},
		"bad request":       {intercept: status(400, "BadParameter"), kind: fault.Config, part: "does not understand"},
		"redirect":          {intercept: status(302, "x", "Location", "https://evil.vault.azure.net/secrets/m365"), kind: fault.Config, part: "redirects"},
		"token refused":     {intercept: challenge(login + `https://vault.azure.net"`), kind: fault.Auth, part: "does not accept the identity"},
		"other resource":    {intercept: challenge(login + `https://management.azure.com"`), kind: fault.Unavailable, part: "cannot be", stale: true},
		"broken challenge":  {intercept: challenge(`Bearer authorization="https:/x", resource="https://vault.azure.net"`), kind: fault.Unavailable, part: "does not answer as a key vault", stale: true},
		"no challenge":      {intercept: challenge(""), kind: fault.Unavailable, part: "does not answer as a key vault", stale: true},
		"web page":          {intercept: body("<html>" + vaultToken), kind: fault.Unavailable, part: "cannot be read", stale: true},
		"empty value":       {intercept: body(`{"value":"\n","id":"https://x/secrets/a/1"}`), kind: fault.Config, part: "is empty"},
		"no value":          {intercept: body(`{}`), kind: fault.Config, part: "is empty"},
		"no identity":       {token: errors.New("DefaultAzureCredential: AADSTS7000222 " + vaultToken), kind: fault.Auth, part: "cannot sign in to Azure"},
		"broken connection": {intercept: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, kind: fault.Unavailable, part: vaultHost, stale: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, clk := newFakeVault(t), newManualClock()
			v.put("m365", planted, nil)
			v.intercepted(tt.intercept)
			cred := &fakeCredential{err: tt.token}
			r := newTestResolver(ResolverConfig{Clock: clk, KeyVault: KeyVaultConfig{Credential: cred, Transport: v.transport()}})
			_, err := r.Resolve(t.Context(), "c1", "key", reference)
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.part) || fault.HintOf(err) == "" {
				t.Errorf("error %v (%s), hint %q", err, fault.KindOf(err), fault.HintOf(err))
			}
			vaulttest.GrepText(t, "the error", fmt.Sprintf("%v %+v %s", err, err, fault.HintOf(err)), planted, vaultToken)
			before := len(v.asked())
			if _, err := r.Resolve(t.Context(), "c1", "key", reference); err == nil || len(v.asked()) != before {
				t.Errorf("the failure is not kept: %v", err)
			}
			for _, asked := range v.asked() {
				if !strings.HasPrefix(asked, vaultHost+"/") {
					t.Errorf("a token went to %s", asked)
				}
			}

			// The same after a success.
			v.intercepted(nil)
			cred.err = nil
			clk.advance(failureHold + time.Second)
			wantValue(t, r, reference, planted)
			v.intercepted(tt.intercept)
			if tt.token != nil {
				return // the client has its token for longer than this test
			}
			clk.advance(VaultInterval + time.Second)
			if _, err := r.Resolve(t.Context(), "c1", "key", reference); (err == nil) != tt.stale {
				t.Errorf("after a success: %v, want the old value: %t", err, tt.stale)
			}
		})
	}
}

func TestAllowedHosts(t *testing.T) {
	t.Parallel()
	v := newFakeVault(t)
	v.put("a", planted, nil)
	const text = "@Microsoft.KeyVault(SecretUri=https://keys.example/secrets/a)"
	cfg := v.config()
	if _, err := newTestResolver(ResolverConfig{KeyVault: cfg}).Resolve(t.Context(), "c1", "key", text); !fault.Is(err, fault.Config) {
		t.Errorf("a host that is not allowed: %v", err)
	}
	if v.anonymous != 0 {
		t.Error("a host that is not allowed was asked")
	}
	cfg.AllowedHosts = []string{"Keys.example:443"}
	wantValue(t, newTestResolver(ResolverConfig{KeyVault: cfg}), text, planted)
	v.resource = "https://graph.microsoft.com"
	cred := &fakeCredential{}
	cfg.Credential = cred
	_, err := newTestResolver(ResolverConfig{KeyVault: cfg}).Resolve(t.Context(), "c1", "key", text)
	if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "graph.microsoft.com") || len(cred.scopes) != 0 {
		t.Errorf("a server that asks for another token: %v, made %v", err, cred.scopes)
	}
}

// TestRotation follows a secret of each kind through rotation, with two owners.
func TestRotation(t *testing.T) {
	t.Parallel()
	v, clk := newFakeVault(t), newManualClock()
	v.put("m365", "one", nil)
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("file one")
	sealer := fileSealer(t, filepath.Join(t.TempDir(), KeyFileName))
	sealedText := mustSeal(t, sealer, "b", "password", "sealed")
	r := newTestResolver(ResolverConfig{Sealer: sealer, Clock: clk, KeyVault: v.config()})
	keep := func(owner string, texts ...string) *Uses {
		u := r.Uses(owner)
		for i, text := range texts {
			_, err := u.Secret(t.Context(), []string{"key", "password"}[i], text)
			if err != nil && !strings.Contains(text, "missing") {
				t.Fatal(err)
			}
		}
		u.File(path)
		u.File("")
		u.Keep()
		return u
	}
	r.Uses("dropped")
	a := keep("a", reference)
	b := keep("b", "${file:"+path+"}", sealedText)
	look := func() string { return fmt.Sprint(a.look(t.Context()), b.look(t.Context())) }
	if got := look(); got != "false false" {
		t.Errorf("nothing has changed, but: %s", got)
	}
	write("file two")
	if got := look(); got != "true true" {
		t.Errorf("a file has changed, which both use: %s", got)
	}
	if got := look(); got != "false false" {
		t.Errorf("a change is told twice: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "false false" {
		t.Errorf("a file is gone, and the old value is used on: %s", got)
	}
	write("file two")
	v.put("m365", "two", nil)
	if got := look(); got != "false false" {
		t.Errorf("the vault's answer is kept: %s", got)
	}
	clk.advance(refusedHold)
	r.Refused("a")
	r.Refused("nobody")
	if got := look(); got != "true false" {
		t.Errorf("a sign-in was refused after a rotation in the vault: %s", got)
	}
	v.put("m365", "three", nil)
	r.Refused("a")
	if got := look(); got != "false false" {
		t.Errorf("the vault is asked again at once: %s", got)
	}
	if r.Expiries("a") != nil || r.Expiries("nobody") != nil {
		t.Error("an expiry is known that nobody told")
	}
	r.Forget("a")
	if len(r.kept()) != 1 {
		t.Error("a forgotten owner is kept")
	}
}

func TestRunCallsBack(t *testing.T) {
	t.Parallel()
	clk := newManualClock()
	var mu sync.Mutex
	env := map[string]string{"A": "one", "B": "one"}
	set := func(name, value string) {
		mu.Lock()
		defer mu.Unlock()
		env[name] = value
	}
	r := newTestResolver(ResolverConfig{Clock: clk, Env: func(n string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		v, ok := env[n]
		return v, ok
	}})
	start := func(owner, text string) {
		u := r.Uses(owner)
		_, _ = u.Secret(t.Context(), "key", text) // a missing one is waited for
		u.Keep()
	}
	start("a", "${env:A}")
	start("b", "${env:B}")
	start("c", "${env:MISSING}")
	ctx, cancel := context.WithCancel(t.Context())
	calls, done := make(chan string), make(chan error)
	go func() {
		done <- r.Run(ctx, func(_ context.Context, owner string) { calls <- owner })
	}()
	set("A", "two")
	set("B", "two")
	r.Refused("a") // b has the same value, so it shares the sign-in
	for _, want := range []string{"a", "b"} {
		if got := <-calls; got != want {
			t.Errorf("called for %s, want %s", got, want)
		}
	}
	set("MISSING", "here")
	r.Refused("a")
	if got := <-calls; got != "c" {
		t.Errorf("called for %s, want c", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestExpiries(t *testing.T) {
	t.Parallel()
	v, clk := newFakeVault(t), newManualClock()
	late, soon := clk.Now().Add(200*24*time.Hour), clk.Now().Add(5*24*time.Hour)
	v.put("a", "x", map[string]any{"exp": late.Unix()})
	v.put("b", "y", map[string]any{"exp": soon.Unix()})
	r := newTestResolver(ResolverConfig{Clock: clk, KeyVault: v.config()})
	u := r.Uses("c1")
	for name, text := range map[string]string{"key": "a", "password": "b"} {
		if _, err := u.Secret(t.Context(), name, "@Microsoft.KeyVault(VaultName=contoso;SecretName="+text+")"); err != nil {
			t.Fatal(err)
		}
	}
	u.Keep()
	ends := r.Expiries("c1")
	if len(ends) != 2 || ends[0].Name != "password" || !ends[0].At.Equal(soon) || !ends[1].At.Equal(late) {
		t.Errorf("expiries: %+v", ends)
	}
	v.put("b", "y", nil) // the same secret, without an end
	clk.advance(VaultInterval + time.Second)
	if u.look(t.Context()) || len(r.Expiries("c1")) != 1 {
		t.Errorf("after the end was taken away: %+v", r.Expiries("c1"))
	}
}

type neverSent struct{ t *testing.T }

func (n neverSent) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("a request to %s was sent", r.URL)
	return nil, errors.New("sent")
}

func TestGuard(t *testing.T) {
	t.Parallel()
	g := newGuard(vaultHost, neverSent{t})
	for _, address := range []string{"http://" + vaultHost + "/", "https://evil.example/", "https://" + vaultHost + ":8443/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.Do(req)
		if !fault.Is(err, fault.Config) {
			t.Errorf("%s: %v", address, err)
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
	}
}
