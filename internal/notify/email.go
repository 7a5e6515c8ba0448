package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"iter"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/source"
)

// Ways of encryption and of signing in.
const (
	encryptSTARTTLS = "starttls"
	encryptTLS      = "tls"
	encryptNone     = "none"
	authAuto        = "auto"
	authPlain       = "plain"
	authLogin       = "login"

	opEmail     = "send e-mail"
	checkSignIn = "sign-in"
)

func emailOptions() []option.Option {
	return []option.Option{
		{Name: "host", Required: true, Example: "smtp.example.com", Help: "Name of the mail server."},
		{Name: "port", Type: option.Int, Min: 1, Max: 65535, Help: "Port of the mail server. Default: 587 for starttls, 465 for tls, 25 for none."},
		{
			Name: "encryption", Default: encryptSTARTTLS, Choices: []string{encryptSTARTTLS, encryptTLS, encryptNone},
			Help: "starttls demands STARTTLS, tls begins with TLS, none sends in the clear and never signs in.",
		},
		{Name: "username", Help: "Name to sign in with. Empty: no sign-in."},
		{Name: "password", Secret: true, Example: "${env:SMTP_PASSWORD}", Help: "Password to sign in with."},
		{Name: "auth", Default: authAuto, Choices: []string{authAuto, authPlain, authLogin}, Advanced: true, Help: "How to sign in. auto takes PLAIN, else LOGIN."},
		{Name: "from", Required: true, Example: "Sluice <sluice@example.com>", Help: "Address of the sender."},
		{Name: "to", Type: option.StringList, Required: true, Help: "Addresses of the receivers."},
		{Name: "subject_prefix", Default: "[Sluice]", Help: "Begin of every subject."},
		caOption(),
	}
}

// email sends messages by SMTP.
type email struct {
	name       string
	env        Environment
	host       string
	port       int
	encryption string
	auth       string
	username   string
	password   option.Ref
	from       *netmail.Address
	to         []*netmail.Address
	prefix     string
	tls        *tls.Config
}

func newEmail(name string, v option.Values, env Environment) (*email, error) {
	e := &email{
		name: name, env: env, host: v.String("host"), port: int(v.Int("port")), encryption: v.String("encryption"), auth: v.String("auth"),
		username: v.String("username"), password: v.Secret("password"), prefix: v.String("subject_prefix"),
	}
	if e.port == 0 {
		e.port = map[string]int{encryptSTARTTLS: mail.DefaultPortTLS, encryptTLS: mail.DefaultPortSSL, encryptNone: mail.DefaultPort}[e.encryption]
	}
	var err error
	switch {
	case e.username != "" && e.encryption == encryptNone:
		return nil, errors.New("username: signing in needs encryption starttls or tls")
	case (e.username == "") != e.password.Empty():
		return nil, errors.New("username and password: give both or none")
	}
	if e.from, err = netmail.ParseAddress(v.String("from")); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	for _, text := range v.List("to") {
		to, err := netmail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
		e.to = append(e.to, to)
	}
	if len(e.to) == 0 {
		return nil, errors.New("to: at least one address is needed")
	}
	if e.tls, err = trust(v.String("ca_file")); err != nil {
		return nil, err
	}
	e.tls.ServerName = e.host
	return e, nil
}

// Name implements Target.
func (e *email) Name() string { return e.name }

// Deliver implements Target.
func (e *email) Deliver(ctx context.Context, m Message) error {
	letter := e.compose(m)
	return e.session(ctx, func(c *mail.Client, s *smtp.Client) error { return c.SendWithSMTPClient(s, letter) })
}

// compose makes the letter: plain text, and the same as HTML.
func (e *email) compose(m Message) *mail.Msg {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(e.from)
	letter.ToMailAddress(e.to...)
	letter.Subject(clean(e.prefix + " " + m.Title))
	letter.SetDateWithValue(m.Created)
	domain := e.from.Address[strings.LastIndexByte(e.from.Address, '@')+1:]
	letter.SetMessageIDWithValue(m.ID + "@" + domain) // the same at every attempt
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetGenHeader("X-Auto-Response-Suppress", "All")
	letter.SetBodyString(mail.TypeTextPlain, m.Text)
	letter.AddAlternativeString(mail.TypeTextHTML, "<!DOCTYPE html>\n<html><body><pre style=\"white-space: pre-wrap\">\n"+html.EscapeString(m.Text)+"</pre></body></html>\n")
	return letter
}

// session connects, signs in, works and hangs up. The connection is closed when ctx ends.
func (e *email) session(ctx context.Context, work func(*mail.Client, *smtp.Client) error) error {
	password, err := e.env.resolve(e.password)
	if err != nil {
		return err
	}
	var conn net.Conn
	connect := func(ctx context.Context, _, address string) (net.Conn, error) {
		var err error
		conn, err = dial(ctx, address, e.encryption == encryptTLS, e.tls, e.host)
		return conn, err
	}
	options := []mail.Option{
		mail.WithPort(e.port), mail.WithTimeout(answerMost), mail.WithTLSConfig(e.tls), mail.WithDialContextFunc(connect), mail.WithoutNoop(), mail.WithoutRset(),
	}
	switch e.encryption {
	case encryptTLS:
		options = append(options, mail.WithSSL())
	case encryptSTARTTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if e.username != "" {
		options = append(options, e.signIn(), mail.WithUsername(e.username), mail.WithPassword(password.Reveal()))
	}
	c, err := mail.NewClient(e.host, options...)
	if err != nil {
		return fault.Wrap(fault.Config, opEmail, err)
	}
	s, err := c.DialToSMTPClientWithContext(ctx)
	if conn == nil {
		return networkFault(opEmail, net.JoinHostPort(e.host, strconv.Itoa(e.port)), err)
	}
	defer func() { _ = conn.Close() }() // the client leaves it open after some failures
	if err != nil {
		return e.fault("sign in at the mail server", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := work(c, s); err != nil {
		return e.fault(opEmail, err)
	}
	_ = c.CloseWithSMTPClient(s) // the message was accepted: a bad farewell changes nothing
	return nil
}

func (e *email) signIn() mail.Option {
	switch e.auth {
	case authPlain:
		return mail.WithSMTPAuth(mail.SMTPAuthPlain)
	case authLogin:
		return mail.WithSMTPAuth(mail.SMTPAuthLogin)
	default:
		return mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin)
	}
}

// fault classifies what the mail server said.
func (e *email) fault(op string, err error) error {
	host := net.JoinHostPort(e.host, strconv.Itoa(e.port))
	code := 0
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		code = said.Code
	} else if failed, ok := errors.AsType[*mail.SendError](err); ok {
		code = failed.ErrorCode()
	}
	told := fault.New(fault.Unavailable, op, clean(err.Error()))
	switch {
	case code == 454 || code == 530 || code == 534 || code == 535 || code == 538:
		told.Kind, told.Hint = fault.Auth, "check username and password, and whether the account may send by SMTP"
	case code == 552 || code == 452:
		told.Kind, told.Hint = fault.Full, "the mail server says that there is no room"
	case code >= 500:
		told.Kind, told.Hint = fault.Config, "check the addresses from and to, and whether the server relays for this sender"
	case code >= 400:
		told.Hint = "the mail server asks to try again later"
	case errors.Is(err, mail.ErrNoSupportedAuthDiscovered) || errors.Is(err, mail.ErrPlainAuthNotSupported) || errors.Is(err, mail.ErrLoginAuthNotSupported):
		told.Kind, told.Hint = fault.Config, "the mail server does not offer this way to sign in: change the option auth, or leave out username"
	case strings.Contains(err.Error(), "STARTTLS"):
		told.Kind, told.Hint = fault.Config, "the mail server offers no STARTTLS: set encryption to tls, or to none for a relay inside of your network"
	default:
		return networkFault(op, host, err)
	}
	return told.WithCode(codeText(code))
}

func codeText(code int) string {
	if code == 0 {
		return ""
	}
	return strconv.Itoa(code)
}

// Test implements Target.
func (e *email) Test(ctx context.Context) iter.Seq[source.Check] {
	return func(yield func(source.Check) bool) {
		begin := time.Now()
		address := net.JoinHostPort(e.host, strconv.Itoa(e.port))
		conn, err := dial(ctx, address, e.encryption == encryptTLS, e.tls, e.host)
		if err != nil {
			_ = yield(source.Failure(checkConnect, networkFault("connect", address, err))) && skip(yield, checkConnect, checkSignIn, checkMessage)
			return
		}
		_ = conn.Close()
		if !yield(passed(checkConnect, address+" answers", begin)) {
			return
		}
		begin = time.Now()
		if err := e.session(ctx, func(*mail.Client, *smtp.Client) error { return nil }); err != nil {
			_ = yield(source.Failure(checkSignIn, err)) && skip(yield, checkSignIn, checkMessage)
			return
		}
		if !yield(passed(checkSignIn, e.signedIn(), begin)) {
			return
		}
		begin = time.Now()
		if err := e.Deliver(ctx, e.env.trial(uuid.NewString(), e.name)); err != nil {
			yield(source.Failure(checkMessage, err))
			return
		}
		yield(passed(checkMessage, fmt.Sprintf("the mail server took a test message for %d receivers", len(e.to)), begin))
	}
}

func (e *email) signedIn() string {
	how := map[string]string{encryptSTARTTLS: "encrypted with STARTTLS", encryptTLS: "encrypted with TLS", encryptNone: "not encrypted"}[e.encryption]
	if e.username == "" {
		return how + ", without sign-in"
	}
	return how + ", signed in"
}
