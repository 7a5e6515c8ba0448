package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/health"
)

// post office: an SMTP server that speaks enough for one client at a time.
type office struct {
	tls      *tls.Config
	implicit bool              // TLS from the start
	startTLS bool              // offered
	auth     string            // mechanisms offered, "" for none
	refuse   map[string]string // by command: the answer instead
	stuck    chan struct{}     // closed after the data, and nothing is said any more

	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	said     []string // commands, without what is encoded
	login    string   // user:password
	mails    []string
	secure   bool // the last mail came encrypted
}

func (o *office) start(t *testing.T) (port int) {
	t.Helper()
	var err error
	if o.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.wg.Go(func() {
		for {
			conn, err := o.listener.Accept()
			if err != nil {
				return
			}
			o.wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				defer func() { _ = conn.Close() }()
				o.serve(conn)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = o.listener.Close(); o.wg.Wait() })
	return o.listener.Addr().(*net.TCPAddr).Port
}

func (o *office) serve(conn net.Conn) {
	secure := o.implicit
	if o.implicit {
		conn = tls.Server(conn, o.tls)
	}
	in := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	line := func() (string, bool) {
		s, err := in.ReadString('\n')
		return strings.TrimRight(s, "\r\n"), err == nil
	}
	decode := func(s string) string { b, _ := base64.StdEncoding.DecodeString(s); return string(b) }
	say("220 office ESMTP")
	for {
		command, ok := line()
		if !ok {
			return
		}
		verb, rest, _ := strings.Cut(command, " ")
		verb = strings.ToUpper(verb)
		o.mu.Lock()
		o.said = append(o.said, verb)
		o.mu.Unlock()
		if answer, ok := o.refuse[verb]; ok {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			extensions := "250-office\r\n"
			if o.startTLS && !secure {
				extensions += "250-STARTTLS\r\n"
			}
			if o.auth != "" {
				extensions += "250-AUTH " + o.auth + "\r\n"
			}
			say(extensions + "250 8BITMIME")
		case "STARTTLS":
			say("220 go")
			conn, secure = tls.Server(conn, o.tls), true
			in = bufio.NewReader(conn)
		case "AUTH":
			mechanism, initial, _ := strings.Cut(rest, " ")
			login := strings.ReplaceAll(strings.TrimPrefix(decode(initial), "\x00"), "\x00", ":")
			if mechanism == "LOGIN" {
				say("334 " + base64.StdEncoding.EncodeToString([]byte("Username:")))
				user, _ := line()
				say("334 " + base64.StdEncoding.EncodeToString([]byte("Password:")))
				password, _ := line()
				login = decode(user) + ":" + decode(password)
			}
			o.mu.Lock()
			o.login = login
			o.mu.Unlock()
			if login != "sluice:hidden" {
				say("535 5.7.8 bad credentials")
				continue
			}
			say("235 welcome")
		case "DATA":
			say("354 go on")
			var mail strings.Builder
			for {
				s, ok := line()
				if !ok || s == "." {
					break
				}
				mail.WriteString(strings.TrimPrefix(s, ".") + "\r\n")
			}
			if o.stuck != nil {
				close(o.stuck)
				_, _ = in.ReadByte()
				return
			}
			o.mu.Lock()
			o.mails, o.secure = append(o.mails, mail.String()), secure
			o.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func (o *office) taken() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.mails...)
}

// certificate gives the office the certificate of a test server.
func certificate(t *testing.T) (cfg *tls.Config, ca string) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	return &tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12}, caFile(t, srv)
}

func (o *office) options(t *testing.T, more map[string]any) map[string]any {
	t.Helper()
	given := map[string]any{
		"host": "127.0.0.1", "from": "Sluice <sluice@example.com>",
		"to": []any{"soc@example.com", "Jörg <joerg@example.com>"},
	}
	if o.tls == nil {
		o.tls, given["ca_file"] = certificate(t)
	}
	given["port"] = int64(o.start(t))
	maps.Copy(given, more)
	return given
}

func TestEmail(t *testing.T) {
	t.Parallel()
	signIn := map[string]any{"username": "sluice", "password": "${env:PW}"}
	tests := []struct {
		name   string
		office *office
		more   map[string]any
		login  string
		secure bool
	}{
		{"STARTTLS and PLAIN", &office{startTLS: true, auth: "LOGIN PLAIN"}, signIn, "sluice:hidden", true},
		{"STARTTLS and LOGIN", &office{startTLS: true, auth: "LOGIN"}, signIn, "sluice:hidden", true},
		{"TLS and PLAIN", &office{implicit: true, auth: "PLAIN LOGIN"}, map[string]any{"username": "sluice", "password": "hidden", "encryption": "tls", "auth": "plain"}, "sluice:hidden", true},
		{"TLS and LOGIN", &office{implicit: true, auth: "PLAIN LOGIN"}, map[string]any{"username": "sluice", "password": "hidden", "encryption": "tls", "auth": "login"}, "sluice:hidden", true},
		{"TLS without sign-in", &office{implicit: true}, map[string]any{"encryption": "tls"}, "", true},
		{"a relay in the clear", &office{startTLS: true, auth: "PLAIN"}, map[string]any{"encryption": "none"}, "", false},
		{"a bad farewell", &office{startTLS: true, refuse: map[string]string{"QUIT": "500 no"}}, nil, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := mustBuild(t, TypeEmail, tt.office.options(t, tt.more), map[string]string{"PW": "hidden"})
			if err := r.Target.Deliver(t.Context(), example()); err != nil {
				t.Fatal(err)
			}
			mails := tt.office.taken()
			if len(mails) != 1 || tt.office.login != tt.login || tt.office.secure != tt.secure {
				t.Fatalf("%d mails, signed in as %q, encrypted %t", len(mails), tt.office.login, tt.office.secure)
			}
			checkMail(t, mails[0])
			wantLines(t, statuses(r.Target, t), "connection passed", "sign-in passed", "message passed")
		})
	}
}

// checkMail reads the mail of example as a mail program does.
func checkMail(t *testing.T, text string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := "[Sluice] problem: Listing content (unavailable), contoso (T-contoso) Audit.General"; err != nil || subject != want {
		t.Errorf("subject %q, want %q", subject, want)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Name != "Jörg" {
		t.Errorf("to %v, %v", to, err)
	}
	if id := m.Header.Get("Message-ID"); id != "<"+example().ID+"@example.com>" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("headers %v", m.Header)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts[kind] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	if strings.TrimSpace(parts["text/plain"]) != strings.TrimSpace(example().Text) || !strings.Contains(parts["text/html"], "listing content fails: 503") {
		t.Errorf("parts %q", parts)
	}
}

func TestEmailHeaderInjection(t *testing.T) {
	t.Parallel()
	o := &office{startTLS: true}
	c := bad("x", health.Error)
	c.Feed.Connector, c.Condition.Message = "x\r\nBcc: evil@example.com\r\n\r\nhello", "<script>alert(1)</script>\r\n.\r\nMAIL FROM:<evil@example.com>"
	m := newMessage("id", "s", noon, []Event{begun(c)}, 0)
	m.Title = "title\r\nBcc: evil@example.com" // even if a title were not clean
	if err := mustBuild(t, TypeEmail, o.options(t, nil), nil).Target.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	mails := o.taken()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	letter, err := netmail.ReadMessage(strings.NewReader(mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	if letter.Header.Get("Bcc") != "" || strings.Contains(mails[0], "<script>alert") && !strings.Contains(mails[0], "&lt;script") {
		t.Errorf("%s", mails[0])
	}
}

func TestEmailFailures(t *testing.T) {
	t.Parallel()
	signIn := map[string]any{"username": "sluice", "password": "wronghidden"}
	tests := []struct {
		name   string
		office *office
		more   map[string]any
		kind   fault.Kind
		hint   string
	}{
		{"wrong password, PLAIN", &office{startTLS: true, auth: "PLAIN"}, signIn, fault.Auth, "password"},
		{"wrong password, LOGIN", &office{startTLS: true, auth: "LOGIN"}, signIn, fault.Auth, "password"},
		{"no way to sign in", &office{startTLS: true, auth: "XYZ"}, signIn, fault.Config, "username"},
		{"not this way", &office{startTLS: true, auth: "PLAIN"}, map[string]any{"username": "sluice", "password": "x", "auth": "login"}, fault.Config, "auth"},
		{"no STARTTLS", &office{}, nil, fault.Config, "encryption"},
		{"unknown authority", &office{startTLS: true}, map[string]any{"ca_file": ""}, fault.Config, "ca_file"},
		{"no such receiver", &office{startTLS: true, refuse: map[string]string{"RCPT": "550 5.1.1 no such user"}}, nil, fault.Config, "addresses"},
		{"later", &office{startTLS: true, refuse: map[string]string{"MAIL": "451 4.7.1 greylisted"}}, nil, fault.Unavailable, "later"},
		{"no room", &office{startTLS: true, refuse: map[string]string{"DATA": "552 5.2.2 full"}}, nil, fault.Full, "room"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := mustBuild(t, TypeEmail, tt.office.options(t, tt.more), nil).Target.Deliver(t.Context(), example())
			if !fault.Is(err, tt.kind) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("%v (%s, hint %q); want %s, %q", err, fault.KindOf(err), fault.HintOf(err), tt.kind, tt.hint)
			}
			assertHidden(t, err, "wronghidden", "\n")
			if n := len(tt.office.taken()); n > 0 {
				t.Errorf("%d mails were taken", n)
			}
		})
	}
}

func TestEmailNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	n, _ := strconv.ParseInt(port, 10, 64)
	target := mustBuild(t, TypeEmail, map[string]any{"host": "127.0.0.1", "port": n, "from": "a@example.com", "to": []any{"b@example.com"}}, nil).Target
	if err := target.Deliver(t.Context(), example()); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	wantLines(t, statuses(target, t), "connection failed", "sign-in skipped", "message skipped")
}

func TestEmailIsCutOff(t *testing.T) {
	t.Parallel()
	o := &office{startTLS: true, stuck: make(chan struct{})}
	target := mustBuild(t, TypeEmail, o.options(t, nil), nil).Target
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- target.Deliver(ctx, example()) }()
	<-o.stuck
	cancel()
	if err := <-done; err == nil {
		t.Error("cut off is no success")
	}
}

func TestEmailOptions(t *testing.T) {
	t.Parallel()
	base := func(more map[string]any) map[string]any {
		given := map[string]any{"host": "mail.example.com", "from": "a@example.com", "to": []any{"b@example.com"}}
		maps.Copy(given, more)
		return given
	}
	tests := map[string]map[string]any{
		"encryption":             {"encryption": "none", "username": "u", "password": "p"},
		"username and password":  {"username": "u"},
		"username and password:": {"password": "p"},
		"from:":                  {"from": "nobody"},
		"to:":                    {"to": []any{"b@example.com", "x"}},
	}
	for want, more := range tests {
		if _, err := build(t, TypeEmail, base(more), nil); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for encryption, port := range map[string]int{"starttls": 587, "tls": 465, "none": 25} {
		target := mustBuild(t, TypeEmail, base(map[string]any{"encryption": encryption}), nil).Target
		if got := target.(*email).port; got != port {
			t.Errorf("%s: port %d", encryption, got)
		}
	}
}
