package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"sluice/internal/fault"
)

// The patience of the listener. Microsoft's requests are small.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 20 * time.Second
	writeTimeout  = 20 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	stopTimeout   = 2 * time.Second
	lookAgain     = time.Minute // at the files of the certificate
)

// Listener is a bound address.
type Listener struct {
	net  net.Listener
	web  *http.Server
	cert *certificate // nil: plain HTTP
}

// Listen binds the address of the settings, which must have passed Check. Serve answers; Close gives the address back without.
func Listen(ctx context.Context, c Config, handler http.Handler, log *slog.Logger) (*Listener, error) {
	l := &Listener{web: &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	if c.Certificate != "" {
		l.cert = &certificate{file: c.Certificate, key: c.Key, log: log}
		if err := l.cert.load(); err != nil {
			return nil, fault.New(fault.Config, "open webhook listener", "the certificate cannot be used").WithCause(err).
				WithHint("check webhook.tls_certificate and webhook.tls_key")
		}
		l.web.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.cert.get}
	}
	var err error
	if l.net, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen); err != nil {
		return nil, fault.New(fault.Config, "open webhook listener", "cannot listen on "+c.Listen).WithCause(err).
			WithHint("choose another port in webhook.listen, or stop the program that uses it; ports below 1024 need a privilege")
	}
	if host, _, _ := net.SplitHostPort(c.Listen); l.cert == nil && !loopback(host) {
		log.WarnContext(ctx, "the webhook listener speaks plain HTTP beyond this machine; a proxy must end TLS before it", "listen", c.Listen)
	}
	return l, nil
}

// Addr is where it listens; a port 0 has become a real one.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Close gives the address back. After Serve it does nothing.
func (l *Listener) Close() error {
	if err := l.net.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Serve answers until ctx ends, and returns when every request is done or two seconds have passed.
func (l *Listener) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		if l.cert != nil {
			served <- l.web.ServeTLS(l.net, "", "")
			return
		}
		served <- l.web.Serve(l.net)
	}()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if l.web.Shutdown(limit) != nil {
			_ = l.web.Close()
		}
		err = <-served
	}
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fault.New(fault.Unavailable, "serve webhooks", "the listener stopped").WithCause(err)
}

// certificate is a key pair in files, read again when one of them changed: certificates of public authorities are renewed
// every few weeks by another program.
type certificate struct {
	file, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]time.Time // change times of the files that pair was read from
	looked time.Time
}

// load reads the files.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(time.Now())
}

func (c *certificate) read(now time.Time) error {
	c.looked = now
	var stamp [2]time.Time
	for i, name := range []string{c.file, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		stamp[i] = info.ModTime()
	}
	if c.pair != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.file, c.key)
	if err != nil {
		return err
	}
	c.pair, c.stamp = &pair, stamp
	return nil
}

// get is for tls.Config. A pair that cannot be read, perhaps because only one file is new yet, leaves the old one in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookAgain {
		before := c.pair
		if err := c.read(now); err != nil {
			c.log.Warn("the certificate of the webhook listener cannot be read again; the old one stays in use", "error", err.Error(),
				"hint", "check webhook.tls_certificate and webhook.tls_key")
		} else if c.pair != before {
			c.log.Info("the certificate of the webhook listener was renewed")
		}
	}
	return c.pair, nil
}
