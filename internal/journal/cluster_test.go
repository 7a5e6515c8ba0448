package journal

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/fault"
)

// cluster runs three servers that know each other.
func cluster(t *testing.T) (servers []*server.Server, options []*server.Options) {
	t.Helper()
	const size = 3
	var routes []*url.URL
	var ports []int
	for range size {
		var config net.ListenConfig
		l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		port := l.Addr().(*net.TCPAddr).Port
		ports = append(ports, port)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		_ = l.Close()
	}
	for i := range size {
		o := &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true,
			StoreDir: t.TempDir(), MaxPayload: MaxPayload, Routes: routes,
			Cluster: server.ClusterOpts{Name: "sluice", Host: "127.0.0.1", Port: ports[i], NoAdvertise: true},
		}
		options = append(options, o)
		servers = append(servers, run(t, o))
	}
	t.Cleanup(func() {
		for _, s := range servers {
			stopServer(s)
		}
	})
	eventually(t, "the servers to form a cluster", func() bool {
		for _, s := range servers {
			if !s.JetStreamIsCurrent() {
				return false
			}
		}
		return true
	})
	return servers, options
}

func run(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o.Clone())
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("a NATS server does not start")
	}
	return s
}

// TestAReaderSurvivesTheRestartOfAnotherNode: the node that holds the stream and the consumer restarts while the client is
// connected to another one. Nobody tells the client that what it asked for is forgotten.
func TestAReaderSurvivesTheRestartOfAnotherNode(t *testing.T) {
	servers, options := cluster(t)
	setup, err := nats.Connect(servers[0].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer setup.Close()
	js, err := jetstream.New(setup)
	if err != nil {
		t.Fatal(err)
	}
	j := &Journal{cfg: Config{MaxBytes: 1 << 20}, js: js}
	var stream jetstream.Stream
	eventually(t, "the stream", func() bool {
		stream, err = j.createStream(t.Context(), 1)
		return err == nil
	})
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	holder, other := -1, -1
	for i, o := range options {
		if o.ServerName == info.Cluster.Leader {
			holder = i
		} else {
			other = i
		}
	}
	j = open(t, Config{URL: servers[other].ClientURL()})
	publish(t, j, 1, 0, 10)
	r, err := j.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	type got struct {
		Message
		error
	}
	next := make(chan got, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // the restart, and then the reader
	defer cancel()
	go func() {
		m, err := r.Next(ctx)
		next <- got{m, err}
	}()
	stopServer(servers[holder])
	servers[holder] = run(t, options[holder])
	eventually(t, "the journal takes messages again", func() bool {
		_, err := j.Publish(t.Context(), "e1", 2, []byte("second"), 1)
		return err == nil
	})
	if m := <-next; m.error != nil || m.Seq != 2 {
		t.Fatalf("the reader got %d, %v", m.Seq, m.error)
	}
}

// TestALoginThatIsRefusedForAWhile: servers that refuse the login for some time (credentials are being exchanged, whoever
// checks them is away) do not end the connection for good.
func TestALoginThatIsRefusedForAWhile(t *testing.T) {
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Username: "sluice", Password: "right", MaxPayload: MaxPayload,
	}
	s := run(t, o)
	defer func() { stopServer(s) }()
	address := s.Addr().(*net.TCPAddr)
	o.Port = address.Port
	j := open(t, Config{URL: fmt.Sprintf("nats://sluice:right@%s", address)})
	publish(t, j, 1, 0, 10)
	again := func(password string) {
		stopServer(s)
		o.Password = password
		s = run(t, o)
	}
	again("other")
	eventually(t, "several refused logins", func() bool {
		v, err := s.Varz(nil)
		return err == nil && v.TotalConnections >= 3 || j.conn.IsClosed()
	})
	again("right")
	eventually(t, "the journal takes messages again", func() bool {
		if j.conn.IsClosed() {
			t.Fatal("the connection was given up")
		}
		_, err := j.Publish(t.Context(), "e1", 2, []byte("second"), 1)
		return err == nil
	})
}

// TestAMessageThatIsTooLargeForTheServers: servers with the usual limit of 1 MB refuse a large batch for ever. That is said.
func TestAMessageThatIsTooLargeForTheServers(t *testing.T) {
	s := run(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	defer stopServer(s)
	j := open(t, Config{URL: s.ClientURL()})
	if _, err := j.Publish(t.Context(), "e1", 1, noise(t, 2<<20), 0); !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
		t.Fatalf("a message that is too large: %s, %v", fault.KindOf(err), err)
	}
}
