package m365

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// writeCA writes the authority of a TLS service to a file.
func (s *service) writeCA(t *testing.T, file string) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionsAreShared: clients with the same settings use the same connections, others never. A client that
// verifies certificates above all must not get a connection of one that does not.
func TestConnectionsAreShared(t *testing.T) {
	s := newService(t, true)
	peers := make(chan string, 10)
	s.api = func(_ http.ResponseWriter, r *http.Request) { peers <- r.RemoteAddr }
	file := filepath.Join(t.TempDir(), "ca.pem")
	s.writeCA(t, file)
	shared := NewTransports()
	peer := func(set *Transports, tr Transport) string {
		t.Helper()
		c := s.client(t, func(cfg *Config) { cfg.Transports, cfg.Transport = set, tr })
		if _, err := read(t.Context(), c, "/x"); err != nil {
			t.Fatal(err)
		}
		return <-peers
	}
	verified, unverified := Transport{CAFile: file}, Transport{InsecureSkipVerify: true}

	first := peer(shared, verified)
	if again := peer(shared, verified); again != first {
		t.Errorf("a second client came from %s, the first from %s: want one connection", again, first)
	}
	if other := peer(shared, unverified); other == first {
		t.Error("a client that does not verify certificates used the connection of one that does")
	}
	if own := peer(nil, verified); own == first {
		t.Error("a client without shared transports used the connection of another")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed := peer(shared, verified); changed == first {
		t.Error("the file of authorities has changed and the old connection was used")
	}
}
