package client

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/secret"
)

// The settings of the command line.
const (
	DefaultURL  = "http://127.0.0.1:8365"
	DefaultData = "./data"
	URLFile     = "cli-url" // in the data folder of a running server: where it listens
)

// Settings say which server to talk to.
type Settings struct {
	URL   string
	Token secret.Secret // empty when none was found
	From  string        // where URL comes from, for messages
}

// Sources are what Find looks at.
type Sources struct {
	Getenv  func(string) string // SLUICE_URL, SLUICE_TOKEN, SLUICE_DATA; XDG_RUNTIME_DIR for the runtime file
	DataDir string              // of the flag --data; empty when it was not given
}

// Find chooses the server: SLUICE_URL, else the data folder of --data or SLUICE_DATA, else ./data when a server runs
// there, else the server that this user started last (RecordServer), else DefaultURL.
//
// The token is SLUICE_TOKEN, else that of the data folder. Without --data or SLUICE_DATA a folder's token goes only to
// a server on this machine or to the one recorded in that folder, so that it never reaches a host it was not made for.
func Find(s Sources) (Settings, error) {
	data := s.DataDir
	if data == "" {
		data = s.Getenv("SLUICE_DATA")
	}
	explicit := data != ""
	found, folder, err := findURL(s, data)
	if err != nil {
		return found, err
	}
	if token := s.Getenv("SLUICE_TOKEN"); token != "" {
		found.Token = secret.New(token)
		return found, nil
	}
	if !explicit && !loopback(found.URL) && found.From == "SLUICE_URL" {
		return found, nil
	}
	found.Token, err = readToken(folder, explicit)
	return found, err
}

// findURL returns the URL and the folder whose token belongs to it.
func findURL(s Sources, data string) (found Settings, folder string, err error) {
	recorded, running := readRecord(runtimeFile(s.Getenv))
	if text := s.Getenv("SLUICE_URL"); text != "" {
		clean, err := checkURL(text)
		folder = data
		if folder == "" {
			folder = DefaultData
			if running && recorded.URL == clean {
				folder = recorded.DataDir
			}
		}
		return Settings{URL: clean, From: "SLUICE_URL"}, folder, err
	}
	folder = data
	if folder == "" {
		folder = DefaultData
	}
	path := filepath.Join(folder, URLFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		clean, err := checkURL(strings.TrimSpace(string(text)))
		return Settings{URL: clean, From: path}, folder, err
	case !errors.Is(err, fs.ErrNotExist) && data != "":
		return Settings{}, folder, fault.Wrap(fault.Config, "find the server", err)
	case data == "" && running:
		return Settings{URL: recorded.URL, From: "the server started last"}, recorded.DataDir, nil
	}
	return Settings{URL: DefaultURL, From: "the default"}, folder, nil
}

// checkURL accepts http and https URLs of a server, without path, query or user.
func checkURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fault.New(fault.Config, "find the server", "SLUICE_URL is not the URL of a server").
			WithHint("write it like " + DefaultURL)
	}
	return u.String(), nil
}

// loopback reports whether the URL names this machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// readToken reads the token of a folder. A folder without one is no error: the server says what is missing.
func readToken(folder string, explicit bool) (secret.Secret, error) {
	text, err := os.ReadFile(filepath.Join(folder, api.TokenFile))
	switch {
	case err == nil:
		return secret.New(strings.TrimSpace(string(text))), nil
	case errors.Is(err, fs.ErrNotExist):
		return secret.Secret{}, nil
	case errors.Is(err, fs.ErrPermission) && !explicit:
		return secret.Secret{}, nil
	}
	return secret.Secret{}, fault.New(fault.Config, "read the token", err.Error()).
		WithHint("run as the user of the server, or set SLUICE_TOKEN")
}

// Running describes a running server to the clients of the same user.
type Running struct {
	URL     string `json:"url"`
	DataDir string `json:"data_dir"` // absolute
	PID     int    `json:"pid"`
}

// RecordServer tells clients where this server is: the URL goes into the data folder, and URL and folder go into a file
// of this user, which is the last thing that Find looks at. Both files have mode 0600. getenv is usually os.Getenv.
func RecordServer(getenv func(string) string, dataDir, serverURL string) (Running, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return Running{}, fault.Wrap(fault.Config, "record the server", err)
	}
	r := Running{URL: serverURL, DataDir: dir, PID: os.Getpid()}
	if err := writeFile(filepath.Join(dir, URLFile), []byte(serverURL+"\n")); err != nil {
		return r, fault.Wrap(fault.Config, "record the server", err)
	}
	path := runtimeFile(getenv)
	if path == "" {
		return r, nil // a user without any folder of his own (a service): the data folder is enough
	}
	text, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return r, fault.Wrap(fault.Config, "record the server", err)
	}
	return r, fault.Wrap(fault.Config, "record the server", writeFile(path, append(text, '\n')))
}

// ForgetServer removes what RecordServer wrote, unless another server has written there since.
func ForgetServer(getenv func(string) string, r Running) error {
	var errs []error
	path := filepath.Join(r.DataDir, URLFile)
	if text, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(text)) == r.URL {
		errs = append(errs, os.Remove(path))
	}
	if path := runtimeFile(getenv); path != "" {
		if now, ok := readRecord(path); ok && now == r {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// runtimeFile is the per-user file of RecordServer, "" where a user has no folder.
func runtimeFile(getenv func(string) string) string {
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "sluice", "server.json")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "sluice", "server.json")
}

func readRecord(path string) (Running, bool) {
	var r Running
	if path == "" {
		return r, false
	}
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &r) != nil {
		return r, false
	}
	clean, err := checkURL(r.URL)
	return r, err == nil && clean == r.URL && r.DataDir != ""
}

// writeFile replaces path as a whole; a reader sees the old text or the new one.
func writeFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
